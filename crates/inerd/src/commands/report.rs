use std::path::PathBuf;
use std::process::ExitCode;

use inerd_experiment::{Experiment, Plan};
use inerd_report::{write_overview, write_report};
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
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct TextArguments {
    /// Embed the sentences of third-party datasets in the page, for your own eyes. The default.
    #[arg(long, overrides_with = "without_text")]
    with_text: bool,
    /// Leave the sentences of third-party datasets out of the page: ids, offsets, types and counts stay. For anything
    /// that is handed on.
    #[arg(long, overrides_with = "with_text")]
    without_text: bool,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let (experiment, plan) = arguments.file.plan(&inputs(global, super::backend(global)?))?;
    let store = Store::open(&global.store).map_err(|e| Failure::during("report", exit_of(&e), e))?;
    write(&experiment, &plan, &store, arguments.text, global, output)?;
    Ok(Exit::Success.into())
}

/// Writes the report and names the files to open.
pub(super) fn write(
    experiment: &Experiment,
    plan: &Plan,
    store: &Store,
    text: TextArguments,
    global: &Global,
    output: &mut Output,
) -> Result<(), Failure> {
    let input = collect(experiment, plan, store).map_err(|e| Failure::during("collect the scores", exit_of(&e), e))?;
    let folder = global.reports.join(&experiment.name);
    let written = write_report(&input, &folder, inerd_report::Options { with_text: !text.without_text })
        .map_err(|e| Failure::during("write the report", Exit::Store, e))?;
    let overview = write_overview(&global.reports)
        .map_err(|e| Failure::during("write the overview of all reports", Exit::Store, e))?;
    let pages: Vec<&PathBuf> = written.iter().filter(|p| p.extension().is_some_and(|e| e == "html")).collect();
    let list: String = pages.into_iter().chain([&overview]).map(|path| format!("  {}\n", path.display())).collect();
    output.result(&format!("open\n{list}"), &serde_json::json!({ "report": written, "overview": overview }));
    Ok(())
}
