use std::process::Command;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::failure::replace;
use crate::{Store, clock, host};

/// Where, when and from which code something was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Of this program, of the tensor library and of the compiler.
    pub version: String,
    #[serde(default)]
    pub burn: String,
    #[serde(default)]
    pub rustc: String,
    /// The git commit of the working folder, empty outside a checkout.
    pub commit: String,
    /// The BLAKE3 hash of the uncommitted difference, empty where there is none. The difference itself lies in the
    /// store: `differences/<hash>.patch`.
    pub dirty: String,
    pub command: Vec<String>,
    pub host: String,
    /// Operating system.
    #[serde(default)]
    pub system: String,
    /// The host's processor and how many of its cores could be used.
    #[serde(default)]
    pub processor: String,
    pub device: String,
    /// Milliseconds since 1970 (UTC).
    pub time_ms: u64,
}

impl Provenance {
    /// Of this process, on `device`. The uncommitted difference of the code goes into the store, once.
    pub fn here(store: &Store, device: &str) -> Self {
        static CODE: OnceLock<(String, String)> = OnceLock::new();
        let (commit, dirty) = CODE.get_or_init(|| {
            let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
            let difference = git(&["diff", "HEAD"]).unwrap_or_default();
            if difference.is_empty() {
                return (commit, String::new());
            }
            let dirty = blake3::hash(difference.as_bytes()).to_string();
            let path = store.root().join("differences").join(format!("{dirty}.patch"));
            // Provenance must not fail a stage: the hash still tells two states of the code apart.
            if !path.exists() {
                let _ = replace(&path, difference.as_bytes());
            }
            (commit, dirty)
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            burn: env!("INERD_BURN").to_owned(),
            rustc: env!("INERD_RUSTC").to_owned(),
            commit: commit.clone(),
            dirty: dirty.clone(),
            command: std::env::args().collect(),
            host: host::name().to_owned(),
            system: host::system(),
            processor: host::processor().to_owned(),
            device: device.to_owned(),
            time_ms: clock::now_ms(),
        }
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
