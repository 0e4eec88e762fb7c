use std::process::Command;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::clock;

/// Where, when and from which code something was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    pub version: String,
    /// The git commit of the working folder, empty outside a checkout.
    pub commit: String,
    /// The BLAKE3 hash of the uncommitted difference, empty where there is none.
    pub dirty: String,
    pub command: Vec<String>,
    pub host: String,
    pub device: String,
    /// Milliseconds since 1970 (UTC).
    pub time_ms: u64,
}

impl Provenance {
    /// Of this process, on `device`.
    pub fn here(device: &str) -> Self {
        static GIT: OnceLock<(String, String)> = OnceLock::new();
        let (commit, dirty) = GIT.get_or_init(|| {
            let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
            let difference = git(&["diff", "HEAD"]).unwrap_or_default();
            let dirty =
                if difference.is_empty() { String::new() } else { blake3::hash(difference.as_bytes()).to_string() };
            (commit, dirty)
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit.clone(),
            dirty: dirty.clone(),
            command: std::env::args().collect(),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            device: device.to_owned(),
            time_ms: clock::now_ms(),
        }
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
