use std::process::ExitCode;

use inerd_training::doctor::{Examination, examine};

use crate::Global;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Examines the device of `--device`; fails where it computes something else than the CPU.
pub(crate) fn run(_: &Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let device = super::device(global)?;
    let is_cuda = super::backend(global)? == inerd_experiment::Backend::Cuda;
    let found = examine(&device).map_err(|error| Failure::during("examine the device", Exit::Bug, error))?;
    // Matrix products of a GPU run in TF32, with ten bits of mantissa.
    let tolerance = if is_cuda { 1e-2 } else { 1e-5 };
    let healthy = found.is_within(tolerance);
    output.result(&table(&found, global, tolerance, healthy), &found);
    Ok(if healthy { Exit::Success } else { Exit::Bug }.into())
}

fn table(found: &Examination, global: &Global, tolerance: f64, healthy: bool) -> String {
    let fusion = if cfg!(feature = "fusion") { "built in (feature `fusion`)" } else { "not built in" };
    let rows = [
        ("device", global.device.to_string()),
        ("fusion", fusion.to_owned()),
        ("logits, difference to the CPU", format!("{:.2e}", found.logits)),
        ("gradients, difference to the CPU", format!("{:.2e}", found.gradients)),
        ("losses of a short training, difference", format!("{:.2e}", found.training)),
        ("generated tokens per second", format!("{:.0}", found.generated_tokens_per_second)),
        ("trained tokens per second", format!("{:.0}", found.trained_tokens_per_second)),
        ("verdict", if healthy { "as the CPU".to_owned() } else { format!("differs by more than {tolerance:.0e}") }),
    ];
    rows.iter().map(|(name, value)| format!("{name:40}{value}\n")).collect()
}
