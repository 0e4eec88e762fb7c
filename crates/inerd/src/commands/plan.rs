use std::process::ExitCode;

use clap::ValueEnum;
use inerd_experiment::{Plan, PlanView, Retry, decide_all};
use inerd_run::{Store, calibration};

use crate::Global;
use crate::commands::{ExperimentArguments, context, exit_of, inputs};
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ExperimentArguments,
    /// Text, JSON, or a picture of the stages as SVG or for Graphviz.
    #[arg(long, value_enum, default_value_t = Picture::Text, value_name = "FORMAT")]
    format: Picture,
    /// List at most this many stages in the text.
    #[arg(long, default_value_t = 60, value_name = "N")]
    stages: usize,
    /// Measure one step of the costliest stage of each kind on the device first, and predict from that. Without it, a
    /// plan touches no device: it predicts from earlier runs in the store, or from the rates of a typical machine.
    #[arg(long)]
    probe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Picture {
    Text,
    Json,
    Svg,
    Dot,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let inputs = inputs(global, super::backend(global)?);
    let (_, plan) = arguments.file.plan(&inputs)?;
    let store = Store::at(&global.store);
    let mut calibration = calibration(&store, inputs.backend);
    if arguments.probe {
        let context = context(global, store.clone(), inputs)?;
        let measured = inerd_run::probe(&plan, &context).map_err(|e| Failure::during("probe", exit_of(&e), e))?;
        calibration = calibration.or_probed(&measured);
    }
    let decisions = decide_all(&plan, &store, Retry::All, &Plan::is_score);
    let view = PlanView { plan: &plan, decisions: &decisions, calibration: &calibration };
    match arguments.format {
        Picture::Svg => output.data(&view.svg()),
        Picture::Dot => output.data(&view.dot()),
        Picture::Json => output.data(&format!("{:#}\n", view.json())),
        Picture::Text if output.is_json() => output.result("", &view.json()),
        Picture::Text => output.data(&view.text(arguments.stages)),
    }
    Ok(Exit::Success.into())
}
