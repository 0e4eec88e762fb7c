//! Failures on disk: `store/failures/abcd….json`, gone as soon as the stage succeeds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use inerd_experiment::{Failure, Fingerprint};
use serde::{Deserialize, Serialize};

use crate::{Error, Store, clock, host};

const FORMAT: u32 = 1;

/// How a stage failed the last time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureRecord {
    pub format: u32,
    pub class: Failure,
    pub message: String,
    /// Runs that it failed in, this one included.
    pub runs: u32,
    pub host: String,
    /// Milliseconds since 1970 (UTC); for people.
    pub time_ms: u64,
}

impl Store {
    fn failure_file(&self, id: Fingerprint) -> PathBuf {
        self.root().join("failures").join(format!("{id}.json"))
    }

    /// How a stage failed, where it did and has not succeeded since.
    pub fn failure(&self, id: Fingerprint) -> Option<FailureRecord> {
        serde_json::from_slice(&fs::read(self.failure_file(id)).ok()?).ok()
    }

    pub(crate) fn record_failure(&self, id: Fingerprint, class: Failure, message: &str) -> Result<(), Error> {
        let runs = self.failure(id).map_or(0, |before| before.runs) + 1;
        let (host, time_ms) = (host::name().to_owned(), clock::now_ms());
        let record = FailureRecord { format: FORMAT, class, message: message.to_owned(), runs, host, time_ms };
        let path = self.failure_file(id);
        let text = serde_json::to_vec_pretty(&record).map_err(|e| Error::store(&path)(e.into()))?;
        replace(&path, &text).map_err(Error::store(&path))
    }

    pub(crate) fn forget_failure(&self, id: Fingerprint) -> io::Result<()> {
        match fs::remove_file(self.failure_file(id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Writes a file whole or not at all.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension(format!("partial-{}-{:?}", std::process::id(), std::thread::current().id()));
    let written = fs::write(&partial, content).and_then(|()| fs::File::open(&partial)?.sync_all());
    match written.and_then(|()| fs::rename(&partial, path)) {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = fs::remove_file(&partial);
            Err(error)
        }
    }
}
