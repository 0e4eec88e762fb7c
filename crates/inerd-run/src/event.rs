//! What happened, one JSON object a line, written before anything is summarised. A line survives a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use inerd_experiment::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::clock;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    RunStarted {
        experiment: String,
        plan: Fingerprint,
        stages: usize,
        command: Vec<String>,
    },
    StageStarted {
        stage: Fingerprint,
        label: String,
    },
    /// `done`: its artefact was there; else nothing needs it.
    StageSkipped {
        stage: Fingerprint,
        done: bool,
    },
    StageFinished {
        stage: Fingerprint,
        label: String,
        seconds: f64,
    },
    StageFailed {
        stage: Fingerprint,
        label: String,
        class: String,
        message: String,
    },
    StageInterrupted {
        stage: Fingerprint,
    },
    RunFinished {
        done: usize,
        skipped: usize,
        failed: usize,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Stamped {
    time_ms: u64,
    #[serde(rename = "what")]
    event: Event,
}

/// An append-only log.
#[derive(Debug)]
pub struct EventLog {
    file: File,
}

impl EventLog {
    /// A new log for this process under `runs/`.
    pub fn create(runs: &Path) -> io::Result<Self> {
        fs::create_dir_all(runs)?;
        let path: PathBuf = runs.join(format!("{}-{}.jsonl", clock::now_ms(), std::process::id()));
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Stamped { time_ms: clock::now_ms(), event: event.clone() })?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// The events of a log; a last line cut off by a crash is left out.
pub fn read_events(path: &Path) -> io::Result<Vec<(u64, Event)>> {
    let reader = io::BufReader::new(File::open(path)?);
    let mut events = Vec::new();
    for line in reader.lines() {
        if let Ok(stamped) = serde_json::from_str::<Stamped>(&line?) {
            events.push((stamped.time_ms, stamped.event));
        }
    }
    Ok(events)
}
