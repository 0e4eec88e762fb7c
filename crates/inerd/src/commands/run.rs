use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use inerd_experiment::Plan;
use inerd_run::{Context, Options, Outcome, Store};

use crate::Global;
use crate::commands::{ExperimentArguments, device_name, exit_of, inputs, report};
use crate::exit::Exit;
use crate::output::{Failure, Output};
use crate::progress::Bars;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ExperimentArguments,
    /// Stop at the first failed stage.
    #[arg(long)]
    fail_fast: bool,
    #[command(flatten)]
    text: report::TextArguments,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let inputs = inputs(global, super::backend(global)?);
    let (experiment, plan) = arguments.file.plan(&inputs)?;
    missing_inputs(&plan, &inputs)?;
    let device = global.device.resolve().map_err(|e| Failure::during("choose the device", Exit::Usage, e))?;
    let failed = |e: inerd_run::Error| Failure::during(format!("run `{}`", plan.experiment), exit_of(&e), e);
    let store = Store::open(&global.store).map_err(failed)?;
    let context = Context { store, inputs, device, device_name: device_name(global)?, stop: stop_on_signals() };
    let mut bars = Bars::new(output.is_json());
    let options = Options { fail_fast: arguments.fail_fast };
    let summary = inerd_run::run(&plan, &context, options, &mut bars).map_err(failed)?;
    drop(bars);

    if summary.interrupted {
        output.say("interrupted; the same command goes on from here");
        return Ok(Exit::Interrupted.into());
    }
    let done = summary.count(|o| *o == Outcome::Done);
    let skipped = summary.count(|o| *o == Outcome::Skipped);
    let failed = summary.failed();
    output.say(&format!("{done} stages done, {skipped} were there already, {failed} failed"));
    report::write(&experiment, &plan, &context.store, arguments.text, global, output)?;
    Ok(if failed == 0 { Exit::Success } else { Exit::StageFailed }.into())
}

/// A dataset that isn't at hand is told before anything is trained, with the way to get it.
fn missing_inputs(plan: &Plan, inputs: &inerd_run::FileInputs) -> Result<(), Failure> {
    let mut names: Vec<&String> = plan.stages.iter().flat_map(|s| &s.missing).collect();
    names.sort();
    names.dedup();
    let Some(first) = names.first() else { return Ok(()) };
    let how = inputs.missing(first);
    let missing = Missing { names: names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ") };
    Err(Failure::with_help(
        format!("run `{}`", plan.experiment),
        Exit::Input,
        missing,
        how.unwrap_or_else(|| "put it where the plan looks for it".to_owned()),
    ))
}

#[derive(Debug, thiserror::Error)]
#[error("{names} is not at hand")]
struct Missing {
    names: String,
}

/// A flag that SIGINT, SIGTERM and SIGUSR1 set: the stage at work writes a checkpoint and the command leaves with a
/// code of its own. A second SIGINT or SIGTERM ends the process at once.
fn stop_on_signals() -> Arc<AtomicBool> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Registered first: at the second signal the flag is set already and the process ends.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop));
    }
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    stop
}
