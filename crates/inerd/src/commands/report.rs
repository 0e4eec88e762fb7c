use std::path::PathBuf;
use std::process::ExitCode;

use inerd_experiment::{Experiment, Plan, Space};
use inerd_report::write_report;
use inerd_run::Store;

use crate::Global;
use crate::collect::collect;
use crate::commands::{ExperimentArguments, exit_of, inputs};
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ExperimentArguments,
    #[command(flatten)]
    text: TextArguments,
}

/// Whether sentences of third-party datasets go into the page.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct TextArguments {
    /// Leave the sentences of third-party datasets out of the page: ids, offsets, types and counts stay. For anything
    /// that is handed on.
    #[arg(long)]
    without_text: bool,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let (experiment, plan) = arguments.file.plan(&inputs(global, super::backend(global)?))?;
    let written = write(&experiment, &plan, &Store::at(&global.store), arguments.text, global)?;
    output.result(&to_open(&written), &serde_json::json!({ "report": written }));
    Ok(Exit::Success.into())
}

/// The name of an experiment's report: a rehearsal's is not that of the results.
pub(super) fn name(experiment: &Experiment) -> String {
    let rehearsal = if experiment.space == Space::Smoke { "-smoke" } else { "" };
    format!("{}{rehearsal}", experiment.name)
}

pub(super) fn folder(experiment: &Experiment, global: &Global) -> PathBuf {
    global.reports.join(name(experiment))
}

/// Writes the report and gives its files.
pub(super) fn write(
    experiment: &Experiment,
    plan: &Plan,
    store: &Store,
    text: TextArguments,
    global: &Global,
) -> Result<Vec<PathBuf>, Failure> {
    let input = collect(experiment, plan, store).map_err(|e| Failure::during("collect the scores", exit_of(&e), e))?;
    write_report(&input, &folder(experiment, global), inerd_report::Options { with_text: !text.without_text })
        .map_err(|e| Failure::during("write the report", Exit::Store, e))
}

/// The files to open, for people.
pub(super) fn to_open(written: &[PathBuf]) -> String {
    let first = written.iter().take(1).chain(written.iter().filter(|p| is_picture(p)));
    format!("open\n{}", first.map(|path| format!("  {}\n", path.display())).collect::<String>())
}

fn is_picture(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|e| e == "svg" || e == "html")
}
