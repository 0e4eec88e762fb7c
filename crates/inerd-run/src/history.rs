//! What earlier runs left in their logs: how long stages took, and what happened last.

use std::fs;
use std::path::Path;

use inerd_experiment::{Backend, Calibration, Measured, Plan};

use crate::event::{Event, event_logs, parse_event, read_events};
use crate::{Store, host};

/// Stages that predictions learn from, at most: the newest.
const MOST: usize = 2000;

/// What earlier runs on this machine and this class of device have measured.
pub fn calibration(store: &Store, backend: Backend) -> Calibration {
    let mut measured: Vec<Measured> = Vec::new();
    for log in event_logs(&store.root().join("runs")).iter().rev() {
        if measured.len() >= MOST {
            break;
        }
        measured.extend(measured_in(log, backend));
    }
    measured.truncate(MOST);
    Calibration::learn(&measured)
}

fn measured_in(log: &Path, backend: Backend) -> Vec<Measured> {
    // A log that is unreadable has nothing to teach; predictions do without.
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines = text.lines();
    let here = match lines.next().and_then(parse_event) {
        Some((_, Event::RunStarted { host, backend: of, .. })) => host == host::name() && of == backend.word(),
        _ => false,
    };
    if !here {
        return Vec::new();
    }
    // Most lines tell of skipped stages: they are told apart before they are parsed.
    let finished = lines.filter(|line| line.contains("\"stage-finished\"")).filter_map(parse_event);
    let measured = finished.filter_map(|(_, event)| match event {
        Event::StageFinished { measured, .. } => Some(measured),
        _ => None,
    });
    measured.collect()
}

/// One run, as its log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRun {
    /// The log's name without its ending.
    pub name: String,
    pub events: Vec<(u64, Event)>,
}

/// The newest runs of a store, newest first. Logs that can't be read are left out.
pub fn past_runs(store: &Store, most: usize) -> Vec<PastRun> {
    let logs = event_logs(&store.root().join("runs"));
    let runs = logs.iter().rev().filter_map(|path| {
        let name = path.file_stem()?.to_string_lossy().into_owned();
        Some(PastRun { name, events: read_events(path).ok()? })
    });
    runs.take(most).collect()
}

/// The plans that were run, newest first. Plans of another format are left out.
pub fn frozen_plans(store: &Store) -> Vec<Plan> {
    let mut files: Vec<_> = fs::read_dir(store.root().join("plans"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "json"))
        .map(|entry| (entry.metadata().and_then(|m| m.modified()).ok(), entry.path()))
        .collect();
    files.sort();
    let read = |path: &Path| Plan::from_json(&fs::read_to_string(path).ok()?).ok();
    files.iter().rev().filter_map(|(_, path)| read(path)).collect()
}
