//! What happened, one JSON object a line, written before anything is summarised. A line survives a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use inerd_experiment::{Backend, Failure, Fingerprint, Measured, Plan};
use serde::{Deserialize, Serialize};

use crate::{clock, host};

/// The layout of a line.
const FORMAT: u32 = 2;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    RunStarted {
        experiment: String,
        /// The frozen plan: `plans/<this>.json` in the store.
        plan: Fingerprint,
        stages: usize,
        command: Vec<String>,
        host: String,
        device: String,
        /// The device's class: `cpu` or `cuda`.
        backend: String,
    },
    StageStarted {
        stage: Fingerprint,
        label: String,
        /// 1 for the first.
        attempt: u32,
        /// Seconds, before it began.
        predicted: f64,
    },
    /// `done`: its artefact was there; else nothing needs it.
    StageSkipped {
        stage: Fingerprint,
        done: bool,
    },
    /// Another worker has it; `holder` says who.
    StageAwaited {
        stage: Fingerprint,
        label: String,
        holder: String,
    },
    StageFinished {
        stage: Fingerprint,
        label: String,
        seconds: f64,
        /// Seconds, before it began.
        predicted: f64,
        /// What later predictions learn from.
        measured: Measured,
    },
    /// It failed and is tried again at once.
    StageRetried {
        stage: Fingerprint,
        label: String,
        class: Failure,
        message: String,
    },
    StageFailed {
        stage: Fingerprint,
        label: String,
        /// Absent where it could not even begin.
        class: Option<Failure>,
        message: String,
    },
    StageInterrupted {
        stage: Fingerprint,
        label: String,
    },
    RunFinished {
        done: usize,
        skipped: usize,
        failed: usize,
        interrupted: bool,
    },
}

impl Event {
    /// The stage that it is about.
    pub fn stage(&self) -> Option<Fingerprint> {
        match self {
            Self::RunStarted { .. } | Self::RunFinished { .. } => None,
            Self::StageStarted { stage, .. }
            | Self::StageSkipped { stage, .. }
            | Self::StageAwaited { stage, .. }
            | Self::StageFinished { stage, .. }
            | Self::StageRetried { stage, .. }
            | Self::StageFailed { stage, .. }
            | Self::StageInterrupted { stage, .. } => Some(*stage),
        }
    }

    /// The first line of a run's log.
    pub(crate) fn run_started(plan: &Plan, device: &str, backend: Backend) -> Self {
        Self::RunStarted {
            experiment: plan.experiment.clone(),
            plan: plan.fingerprint(),
            stages: plan.stages.len(),
            command: std::env::args().collect(),
            host: host::name().to_owned(),
            device: device.to_owned(),
            backend: backend.word().to_owned(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stamped {
    format: u32,
    time_ms: u64,
    #[serde(rename = "what")]
    event: Event,
}

/// An append-only log, shared by the workers of a process.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: Mutex<File>,
}

impl EventLog {
    /// A new log for this process under `runs/`.
    pub fn create(runs: &Path) -> io::Result<Self> {
        fs::create_dir_all(runs)?;
        let path = runs.join(format!("{:013}-{}-{}.jsonl", clock::now_ms(), host::name(), std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn write(&self, event: &Event) -> io::Result<()> {
        let stamped = Stamped { format: FORMAT, time_ms: clock::now_ms(), event: event.clone() };
        let mut line = serde_json::to_vec(&stamped)?;
        line.push(b'\n');
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }
}

/// One event of a line; `None` for a line cut off by a crash, and for one of another format.
pub fn parse_event(line: &str) -> Option<(u64, Event)> {
    let stamped: Stamped = serde_json::from_str(line).ok()?;
    (stamped.format == FORMAT).then_some((stamped.time_ms, stamped.event))
}

/// The events of a log.
pub fn read_events(path: &Path) -> io::Result<Vec<(u64, Event)>> {
    let reader = io::BufReader::new(File::open(path)?);
    let mut events = Vec::new();
    for line in reader.lines() {
        events.extend(parse_event(&line?));
    }
    Ok(events)
}

/// All logs of a store, oldest first.
pub fn event_logs(runs: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    logs.sort();
    logs
}
