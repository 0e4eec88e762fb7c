use std::path::{Path, PathBuf};
use std::process::ExitCode;

use inerd_experiment::{Experiment, bytes};
use inerd_run::{Contents, Store, bundle, rescore, unbundle};
use serde_json::json;

use crate::Global;
use crate::commands::{ExperimentArguments, Variations, exit_of, inputs, report};
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ExperimentArguments,
    /// The archive to write; `<experiment>.tar.gz` without it.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RescoreArguments {
    /// An archive that `inerd bundle` wrote.
    archive: PathBuf,
    #[command(flatten)]
    text: report::TextArguments,
}

/// Writes the archive.
pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let (experiment, plan) = arguments.file.plan(&inputs(global, super::backend(global)?))?;
    let failed = |e: inerd_run::Error| Failure::during("bundle the experiment", exit_of(&e), e);
    let store = Store::open(&global.store).map_err(failed)?;
    // The report is written anew, so that it is that of the bundled scores.
    report::write(&experiment, &plan, &store, report::TextArguments::default(), global)?;
    let contents = Contents {
        experiment: sources(&arguments.file, &experiment)?,
        report: Some(report::folder(&experiment, global)),
    };
    let path = arguments.to.unwrap_or_else(|| PathBuf::from(format!("{}.tar.gz", report::name(&experiment))));
    let bundled = bundle(&store, &plan, &contents, &path).map_err(failed)?;
    let foreign: Vec<&str> = foreign(&plan);
    if !foreign.is_empty() {
        let names = foreign.join(", ");
        output.say(&format!("it holds sentences of {names}: see their licences before you hand it on"));
    }
    let missing = match bundled.missing {
        0 => String::new(),
        n => format!(", {n} results are missing"),
    };
    let text = format!("{}: {} artefacts, {}{missing}", path.display(), bundled.artefacts, bytes(bundled.bytes as f64));
    output.result(&text, &json!({ "archive": path, "bundled": bundled, "sentences_of": foreign }));
    Ok(Exit::Success.into())
}

/// Third-party datasets whose sentences are in the artefacts.
fn foreign(plan: &inerd_experiment::Plan) -> Vec<&str> {
    let mut names: Vec<&str> = (plan.stages.iter())
        .filter_map(|stage| match &stage.kind {
            inerd_experiment::StageKind::Corpus(corpus) => Some(&corpus.datasets),
            _ => None,
        })
        .flatten()
        .map(|dataset| dataset.name.as_str())
        .filter(|name| !inerd_corpus::Card::find(name, None).is_ok_and(|card| card.is_synthetic()))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The experiment's file and what it extends, under their paths relative to the outermost of their folders; and how the
/// command line varied them.
fn sources(file: &ExperimentArguments, experiment: &Experiment) -> Result<Vec<(String, String)>, Failure> {
    let folder = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
    let mut root = folder(&file.experiment);
    while !experiment.sources.iter().all(|(path, _)| path.starts_with(&root)) {
        root = folder(&root);
    }
    let named = |(path, text): &(PathBuf, String)| {
        (path.strip_prefix(&root).unwrap_or(path).display().to_string(), text.clone())
    };
    let mut sources: Vec<(String, String)> = experiment.sources.iter().map(named).collect();
    let main = file.experiment.strip_prefix(&root).unwrap_or(&file.experiment);
    let variations = json!({ "file": main, "variations": file.variations });
    let failed = |e| Failure::during("write the variations", Exit::Bug, e);
    sources.push((VARIATIONS.to_owned(), serde_json::to_string_pretty(&variations).map_err(failed)?));
    Ok(sources)
}

/// Which file of the bundle is the experiment's, and how the command line varied it.
const VARIATIONS: &str = "variations.json";

#[derive(serde::Deserialize)]
struct Varied {
    file: PathBuf,
    variations: Variations,
}

/// Scores the generations of an archive again and writes its report.
pub(crate) fn rescored(
    arguments: &RescoreArguments,
    global: &Global,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let failed = |e: inerd_run::Error| Failure::during("score the bundle again", exit_of(&e), e);
    let scratch = tempfile::tempdir().map_err(|e| Failure::during("unpack the bundle", Exit::Store, e))?;
    let unpacked = unbundle(&arguments.archive, scratch.path()).map_err(failed)?;
    let (scored, deviations) = rescore(&unpacked.store, &unpacked.plan).map_err(failed)?;

    let text = std::fs::read(unpacked.experiment.join(VARIATIONS));
    let text = text.map_err(|e| Failure::during("read the bundle's experiment", Exit::Input, e))?;
    let varied: Varied =
        serde_json::from_slice(&text).map_err(|e| Failure::during("read the bundle's experiment", Exit::Input, e))?;
    let file = ExperimentArguments { experiment: unpacked.experiment.join(varied.file), variations: varied.variations };
    let experiment = file.load()?;
    let written = report::write(&experiment, &unpacked.plan, &unpacked.store, arguments.text, global)?;
    let mut human = format!("{scored} scores, {} differ\n", deviations.len());
    for deviation in &deviations {
        human.push_str(&format!("  {} {}: {}\n", deviation.stage.short(), deviation.label, deviation.reason));
    }
    human.push_str(&report::to_open(&written));
    output.result(&human, &json!({ "scores": scored, "deviations": deviations, "report": written }));
    Ok(if deviations.is_empty() { Exit::Success } else { Exit::StageFailed }.into())
}
