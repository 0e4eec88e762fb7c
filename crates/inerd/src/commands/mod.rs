//! One file per command: arguments, one call into a room, output.

mod bench;
mod bundle;
mod data;
mod diff;
mod explain;
mod find;
mod gc;
mod logs;
mod model;
mod plan;
mod predict;
mod report;
mod run;
mod schema;
mod score;
mod show;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use inerd_experiment::{Backend, Experiment, Plan};
use inerd_run::{Context, FileInputs, Store};
use serde::{Deserialize, Serialize};

use crate::Global;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work every stage of an experiment that isn't in the store yet, then write its report.
    Run(run::Arguments),
    /// Say what a run would do, and why, without doing it.
    Plan(plan::Arguments),
    /// Say how far an experiment is, who works on what, and what failed; without a file, list the newest runs.
    Status(status::Arguments),
    /// Show one stage: state, settings, provenance, files, what was predicted and what it took.
    Show(show::Arguments),
    /// Print what happened in a run, or to a stage.
    Logs(logs::Arguments),
    /// Say why a stage runs or not, what it reads, and how it differs from the nearest one in the store.
    Explain(explain::Arguments),
    /// Compare two stages: settings with everything behind them, scores, provenance.
    Diff(diff::Arguments),
    /// Remove what crashes left in the store, and what no kept experiment needs.
    Gc(gc::Arguments),
    /// Pack an experiment into one archive for reviewers.
    Bundle(bundle::Arguments),
    /// Score the generations of a bundle again and write its report.
    Rescore(bundle::RescoreArguments),
    /// Print the JSON schema of experiment files, for editors, or the reference page.
    Schema(schema::Arguments),
    /// Write the report of what the store holds already.
    Report(report::Arguments),
    /// Score any system's predictions by every convention.
    Score(score::Arguments),
    /// Find the entities of new text with a trained model.
    Predict(predict::Arguments),
    /// Datasets: list, fetch, check, count, convert, add your own.
    Data(data::Arguments),
    /// Models: fetch from the hub, look inside, ask for logits or text.
    Model(model::Arguments),
    /// Measure a part of the program on your own input.
    Bench(bench::Arguments),
}

impl Command {
    pub(crate) fn run(self, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(arguments) => run::run(arguments, global, output),
            Self::Plan(arguments) => plan::run(arguments, global, output),
            Self::Status(arguments) => status::run(arguments, global, output),
            Self::Show(arguments) => show::run(&arguments, global, output),
            Self::Logs(arguments) => logs::run(&arguments, global, output),
            Self::Explain(arguments) => explain::run(arguments, global, output),
            Self::Diff(arguments) => diff::run(&arguments, global, output),
            Self::Gc(arguments) => gc::run(arguments, global, output),
            Self::Bundle(arguments) => bundle::run(arguments, global, output),
            Self::Rescore(arguments) => bundle::rescored(&arguments, global, output),
            Self::Schema(arguments) => Ok(schema::run(&arguments, output)),
            Self::Report(arguments) => report::run(arguments, global, output),
            Self::Score(arguments) => score::run(&arguments, output),
            Self::Predict(arguments) => predict::run(arguments, global, output),
            Self::Data(arguments) => data::run(arguments, global, output),
            Self::Model(arguments) => model::run(&arguments, global, output),
            Self::Bench(arguments) => bench::run(&arguments, output),
        }
    }
}

/// The file that a command is about.
#[derive(Debug, clap::Args)]
struct ExperimentArguments {
    /// The experiment's file, such as experiments/quickstart.toml.
    experiment: PathBuf,
    #[command(flatten)]
    variations: Variations,
}

/// How the command line varies what a file says.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
struct Variations {
    /// Override a setting: `--set fine.lr=3e-4`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    overrides: Vec<(String, String)>,
    /// The number of replicates: `5` makes it five, `+3` adds three. Those that there are stay.
    #[arg(long, value_name = "N|+N")]
    seeds: Option<String>,
    /// The whole sweep at a tiny size, every arm and code path, in a space of its own: nothing that it makes is ever
    /// taken for a result.
    #[arg(long)]
    smoke: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as fine.lr=3e-4")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl ExperimentArguments {
    /// Reads the file.
    fn load(&self) -> Result<Experiment, Failure> {
        let Variations { overrides, seeds, smoke } = &self.variations;
        let mut experiment =
            Experiment::load(&self.experiment, overrides).map_err(|error| Failure::new(Exit::Usage, error))?;
        if let Some(seeds) = seeds {
            experiment.change_seeds(seeds).map_err(|e| Failure::during("set the replicates", Exit::Usage, e))?;
        }
        Ok(if *smoke { experiment.smoke() } else { experiment })
    }

    /// Reads the file and plans it. The same for every command, so that a plan shows what a run does.
    fn plan(&self, inputs: &FileInputs) -> Result<(Experiment, Plan), Failure> {
        let experiment = self.load()?;
        let plan =
            Plan::build(&experiment, inputs).map_err(|e| Failure::during("plan the experiment", Exit::Input, e))?;
        Ok((experiment, plan))
    }
}

/// What stages work with, on the chosen device.
fn context(global: &Global, store: Store, inputs: FileInputs) -> Result<Context, Failure> {
    let device = global.device.resolve().map_err(|e| Failure::during("choose the device", Exit::Usage, e))?;
    Ok(Context { store, inputs, device, device_name: global.device.to_string(), stop: Arc::default() })
}

fn inputs(global: &Global, backend: Backend) -> FileInputs {
    FileInputs {
        data_dir: global.data_dir.clone(),
        cards: Some(global.cards.clone()),
        models_dir: global.models_dir.clone(),
        texts_dir: global.texts_dir.clone(),
        backend,
        ..FileInputs::default()
    }
}

/// An error of a run, with what to do about it.
fn run_failure(action: String, error: inerd_run::Error) -> Failure {
    let exit = exit_of(&error);
    match exit {
        Exit::Store => {
            let help = "what was done is kept: make room, or name another store with --store, and run again";
            Failure::with_help(action, exit, error, help)
        }
        _ => Failure::during(action, exit, error),
    }
}

/// The exit code that belongs to an error of a run.
fn exit_of(error: &inerd_run::Error) -> Exit {
    use inerd_run::FailureClass;
    match error.class() {
        FailureClass::Store => Exit::Store,
        FailureClass::Interrupted => Exit::Interrupted,
        FailureClass::Bug => Exit::Bug,
        FailureClass::Input | FailureClass::Diverged | FailureClass::Machine | FailureClass::OutOfMemory => Exit::Input,
    }
}

/// The class of the chosen device, found without touching it.
fn backend(global: &Global) -> Result<Backend, Failure> {
    match global.device.is_cuda() {
        Ok(true) => Ok(Backend::Cuda),
        Ok(false) => Ok(Backend::Cpu),
        Err(error) => Err(Failure::during("choose the device", Exit::Usage, error)),
    }
}
