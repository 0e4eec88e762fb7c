use std::fmt::Write as _;
use std::process::ExitCode;

use inerd_experiment::{State, StoreView as _, bytes, duration};
use inerd_run::{Manifest, Store};
use serde_json::{Value, json};

use crate::Global;
use crate::commands::find;
use crate::exit::Exit;
use crate::output::{Failure, Output, when};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The beginning of a stage's fingerprint, as `plan` and `status` show it.
    stage: String,
}

pub(crate) fn run(arguments: &Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let store = Store::at(&global.store);
    let found = find::stage(&arguments.stage, &store, None)?;
    let state = store.state(found.id);
    let manifest = store.get(found.id).ok().map(|artefact| artefact.manifest);
    let (holder, failure) = (store.holder(found.id), store.failure(found.id));
    let json = json!({
        "id": found.id, "label": found.label(&store), "state": state, "manifest": manifest, "holder": holder,
        "failure": failure, "missing": found.stage.as_ref().map(|stage| &stage.missing),
    });

    let mut text = format!("{}\n", found.label(&store));
    // Writing to a string cannot fail.
    _ = writeln!(text, "  id        {}", found.id);
    _ = writeln!(text, "  state     {}", told(state));
    if let Some(holder) = &holder {
        _ = writeln!(text, "  worker    {holder}, since {}", when(holder.since_ms));
        if let Some(work) = &holder.progress {
            _ = writeln!(text, "  progress  {} {} of {} · {}", work.what, work.done, work.total, work.message);
        }
    }
    if let Some(failure) = &failure {
        let (class, message) = (failure.class, &failure.message);
        _ = writeln!(text, "  failed    {class}: {message} ({}, on {})", when(failure.time_ms), failure.host);
    }
    if let Some(manifest) = &manifest {
        _ = made(&mut text, manifest, &store);
    } else if let Some(stage) = &found.stage {
        let settings = serde_json::to_string_pretty(&stage.kind.identity()).unwrap_or_default();
        _ = writeln!(text, "  settings\n{}", indented(&settings));
    }
    output.result(&text, &json);
    Ok(Exit::Success.into())
}

/// A state in words.
pub(super) fn told(state: State) -> String {
    match state {
        State::Absent => "not in the store".to_owned(),
        State::Published => "done".to_owned(),
        State::Corrupt => "damaged".to_owned(),
        State::Running => "running".to_owned(),
        State::Interrupted { checkpoint: true } => "interrupted, with a checkpoint".to_owned(),
        State::Interrupted { checkpoint: false } => "interrupted".to_owned(),
        State::Failed { class, .. } => format!("failed: {class}"),
    }
}

fn made(text: &mut String, manifest: &Manifest, store: &Store) -> std::fmt::Result {
    let from = &manifest.provenance;
    writeln!(text, "  made      {} on {} ({}), {}", when(from.time_ms), from.host, from.device, from.processor)?;
    let dirty = if from.dirty.is_empty() { String::new() } else { format!(" with changes {}", &from.dirty[..12]) };
    writeln!(text, "  code      inerd {}, commit {}{dirty}", from.version, from.commit)?;
    writeln!(text, "  built     {}, burn {}, {}", from.rustc, from.burn, from.system)?;
    writeln!(text, "  command   {}", from.command.join(" "))?;
    let fact = |name: &str| manifest.facts.get(name).copied();
    if let (Some(seconds), Some(predicted)) = (fact("seconds"), fact("predicted_seconds")) {
        writeln!(text, "  time      {} (predicted {})", duration(seconds), duration(predicted))?;
    }
    if let (Some(peak), Some(predicted)) = (fact("process_peak_memory"), fact("predicted_memory")) {
        writeln!(text, "  memory    {} at the process's peak (predicted {})", bytes(peak), bytes(predicted))?;
    }
    for parent in &manifest.parents {
        let kind = store.get(*parent).map_or(Value::Null, |artefact| artefact.manifest.stage["kind"].clone());
        writeln!(text, "  reads     {} {}", parent.short(), kind.as_str().unwrap_or("(not in the store)"))?;
    }
    for (name, value) in &manifest.facts {
        writeln!(text, "  fact      {name} {value}")?;
    }
    for (name, entry) in &manifest.files {
        writeln!(text, "  file      {name}, {}, blake3 {}", bytes(entry.bytes as f64), &entry.blake3[..12])?;
    }
    let settings = serde_json::to_string_pretty(&manifest.stage).unwrap_or_default();
    writeln!(text, "  settings\n{}", indented(&settings))
}

pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
