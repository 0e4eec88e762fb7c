use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use inerd_experiment::{Fingerprint, duration};
use inerd_run::{Event, Store, event_logs, parse_event};

use crate::Global;
use crate::commands::find;
use crate::exit::Exit;
use crate::output::{Failure, Output, when};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The beginning of a run's name (`status` lists them) or of a stage's fingerprint; the newest run without it.
    of: Option<String>,
    /// Go on until the run ends.
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the store `{0}` has no run yet")]
struct NoRun(String);

pub(crate) fn run(arguments: &Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let store = Store::at(&global.store);
    let logs = event_logs(&store.root().join("runs"));
    let named = |path: &&PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        arguments.of.as_deref().is_none_or(|prefix| name.starts_with(prefix))
    };
    let (chosen, stage): (Vec<&PathBuf>, Option<Fingerprint>) = match logs.iter().rev().find(named) {
        Some(log) => (vec![log], None),
        None => match &arguments.of {
            Some(prefix) => (logs.iter().collect(), Some(find::stage(prefix, &store, None)?.id)),
            None => return Err(Failure::during("show a log", Exit::Usage, NoRun(store.root().display().to_string()))),
        },
    };
    let failed = |path: &Path| {
        let action = format!("read `{}`", path.display());
        move |e: std::io::Error| Failure::during(action, Exit::Store, e)
    };
    for (i, log) in chosen.iter().enumerate() {
        let follow = arguments.follow && i + 1 == chosen.len();
        show(log, stage, follow, output).map_err(failed(log))?;
    }
    Ok(Exit::Success.into())
}

/// Prints a log's events; with `follow`, until the run has ended.
fn show(log: &Path, stage: Option<Fingerprint>, follow: bool, output: &mut Output) -> std::io::Result<()> {
    let mut reader = BufReader::new(File::open(log)?);
    let mut line = String::new();
    loop {
        if reader.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            // A line that is being written is read on when the rest is there.
            if !follow {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
            continue;
        }
        let parsed = parse_event(&line);
        if let Some((time, event)) = &parsed
            && stage.is_none_or(|id| event.stage() == Some(id))
        {
            if output.is_json() {
                output.data(&line);
            } else if let Some(text) = told(event) {
                output.data(&format!("{}  {text}\n", when(*time)));
            }
        }
        line.clear();
        if follow && matches!(parsed, Some((_, Event::RunFinished { .. }))) {
            return Ok(());
        }
    }
}

/// An event for people; skipped stages are no news.
fn told(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted { experiment, stages, host, device, .. } => {
            format!("run       {experiment}: {stages} stages on {host} ({device})")
        }
        Event::StageStarted { stage, label, attempt, predicted } => {
            let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            format!("begin     {} {label} (predicted {}{again})", stage.short(), duration(*predicted))
        }
        Event::StageSkipped { .. } => return None,
        Event::StageAwaited { stage, label, holder } => format!("wait      {} {label}: {holder} has it", stage.short()),
        Event::StageFinished { stage, label, seconds, .. } => {
            format!("done      {} {label} in {}", stage.short(), duration(*seconds))
        }
        Event::StageRetried { stage, label, class, message } => {
            format!("again     {} {label} ({class}): {message}", stage.short())
        }
        Event::StageFailed { stage, label, class, message } => {
            let class = class.map_or_else(|| "blocked".to_owned(), |class| class.to_string());
            format!("failed    {} {label} ({class}): {message}", stage.short())
        }
        Event::StageInterrupted { stage, label } => format!("stopped   {} {label}", stage.short()),
        Event::RunFinished { done, skipped, failed, interrupted } => {
            let how = if *interrupted { "interrupted" } else { "finished" };
            format!("{how}  {done} done, {skipped} there already, {failed} failed")
        }
    })
}
