//! One file per command: arguments, one call into a room, output.

mod bench;
mod data;
mod doctor;
mod plan;
mod predict;
mod report;
mod run;
mod score;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use inerd_experiment::{Backend, Experiment, Plan};
use inerd_run::FileInputs;

use crate::Global;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work every stage of an experiment that isn't in the store yet, then write its report.
    Run(run::Arguments),
    /// Say what a run would do, and why, without doing it.
    Plan(plan::Arguments),
    /// Write the report of what the store holds already.
    Report(report::Arguments),
    /// Score any system's predictions by every convention.
    Score(score::Arguments),
    /// Find the entities of new text with a trained model.
    Predict(predict::Arguments),
    /// Datasets: list, fetch, check, count, convert, add your own.
    Data(data::Arguments),
    /// Measure a part of the program on your own input.
    Bench(bench::Arguments),
    /// Check that a device computes what the CPU computes, and how fast.
    Doctor(doctor::Arguments),
}

impl Command {
    pub(crate) fn run(self, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(arguments) => run::run(arguments, global, output),
            Self::Plan(arguments) => plan::run(arguments, global, output),
            Self::Report(arguments) => report::run(arguments, global, output),
            Self::Score(arguments) => score::run(&arguments, output),
            Self::Predict(arguments) => predict::run(arguments, global, output),
            Self::Data(arguments) => data::run(arguments, global, output),
            Self::Bench(arguments) => bench::run(&arguments, global, output),
            Self::Doctor(arguments) => doctor::run(&arguments, global, output),
        }
    }
}

/// The file that a command is about.
#[derive(Debug, clap::Args)]
struct ExperimentArguments {
    /// The experiment's file, such as experiments/quickstart.toml.
    experiment: PathBuf,
    /// Override a setting: `--set fine.lr=3e-4`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    overrides: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as fine.lr=3e-4")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl ExperimentArguments {
    /// Reads the file and plans it. The same for every command, so that a plan shows what a run does.
    fn plan(&self, inputs: &FileInputs) -> Result<(Experiment, Plan), Failure> {
        let experiment =
            Experiment::load(&self.experiment, &self.overrides).map_err(|error| Failure::new(Exit::Usage, error))?;
        let plan =
            Plan::build(&experiment, inputs).map_err(|e| Failure::during("plan the experiment", Exit::Input, e))?;
        Ok((experiment, plan))
    }
}

fn inputs(global: &Global, backend: Backend) -> FileInputs {
    FileInputs {
        data_dir: global.data_dir.clone(),
        models_dir: global.models_dir.clone(),
        texts_dir: global.texts_dir.clone(),
        backend,
    }
}

/// The exit code that belongs to an error of a run.
fn exit_of(error: &inerd_run::Error) -> Exit {
    use inerd_run::FailureClass;
    match error.class() {
        FailureClass::Store => Exit::Store,
        FailureClass::Interrupted => Exit::Interrupted,
        FailureClass::Bug => Exit::Bug,
        FailureClass::Input | FailureClass::Diverged => Exit::Input,
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

/// The chosen device.
fn device(global: &Global) -> Result<inerd_lm::Device, Failure> {
    global.device.resolve().map_err(|error| Failure::during("choose the device", Exit::Usage, error))
}
