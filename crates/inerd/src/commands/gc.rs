use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use inerd_experiment::bytes;
use inerd_run::Store;
use inerd_run::gc::{Rubbish, find, remove};
use serde_json::json;

use crate::Global;
use crate::commands::{ExperimentArguments, Variations, exit_of, inputs};
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Keep only the artefacts that these experiments need. Without a file, all artefacts stay, and only what crashes
    /// and finished trainings left is removed.
    #[arg(long = "keep", value_name = "FILE")]
    keep: Vec<PathBuf>,
    /// Remove trained weights whose answers are all in the store. Scores and reports stay as they are.
    #[arg(long)]
    weights: bool,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let inputs = inputs(global, super::backend(global)?);
    let plan = |experiment| {
        let file = ExperimentArguments { experiment, variations: Variations::default() };
        file.plan(&inputs).map(|(_, plan)| plan)
    };
    let keep = arguments.keep.into_iter().map(plan).collect::<Result<Vec<_>, _>>()?;
    let failed = |e: inerd_run::Error| Failure::during("collect rubbish", exit_of(&e), e);
    let store = Store::open(&global.store).map_err(failed)?;
    let removals = find(&store, &Rubbish { keep, weights: arguments.weights }).map_err(failed)?;
    let total: u64 = removals.iter().map(|removal| removal.bytes).sum();
    let mut text = String::new();
    for removal in &removals {
        let path = removal.path.strip_prefix(store.root()).unwrap_or(&removal.path);
        _ = writeln!(text, "{:>9}  {}  {}", bytes(removal.bytes as f64), path.display(), removal.reason);
    }
    // The plan stands there before anything happens.
    if !arguments.dry_run {
        output.say(text.trim_end());
        text.clear();
        remove(&store, &removals).map_err(failed)?;
    }
    let verb = if arguments.dry_run { "would be removed" } else { "removed" };
    _ = writeln!(text, "{} things, {}, {verb}", removals.len(), bytes(total as f64));
    let json = json!({ "removed": !arguments.dry_run, "bytes": total, "removals": removals });
    output.result(&text, &json);
    Ok(Exit::Success.into())
}
