//! What can be removed from a store, and removing it. Nothing is removed that a living worker has, and nothing that a
//! kept experiment needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use inerd_experiment::{Fingerprint, Plan};
use serde::Serialize;

use crate::stages::weights::MODEL;
use crate::{Error, Store};

/// What counts as rubbish.
#[derive(Debug, Clone, Default)]
pub struct Rubbish {
    /// Artefacts that none of these plans has. Without a plan, all artefacts stay.
    pub keep: Vec<Plan>,
    /// Trained weights whose every answer is there: scores and reports don't need them, further decoding would.
    pub weights: bool,
}

/// One thing to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    pub path: PathBuf,
    pub bytes: u64,
    pub reason: &'static str,
}

/// What would be removed, by path.
pub fn find(store: &Store, rubbish: &Rubbish) -> Result<Vec<Removal>, Error> {
    let root = store.root();
    let mut found = Vec::new();
    let mut add = |path: PathBuf, reason: &'static str| {
        found.push(Removal { bytes: size(&path), path, reason });
    };
    let alive: Vec<String> =
        store.claims().into_iter().filter(|id| store.holder(*id).is_some()).map(|id| id.short()).collect();
    let lives = |name: &str| alive.iter().any(|id| name.starts_with(id));
    for (folder, reason) in
        [("staging", "left by a run that was killed"), ("damaged", "a damaged artefact that was made anew")]
    {
        for (name, path) in entries(&root.join(folder)) {
            if !lives(&name) {
                add(path, reason);
            }
        }
    }
    for (folder, reason) in [
        ("checkpoints", "the training is finished"),
        ("failures", "it succeeded since"),
        ("claims", "left by a worker that was killed"),
    ] {
        for (name, path) in entries(&root.join(folder)) {
            let id = name.split('.').next().and_then(|name| name.parse::<Fingerprint>().ok());
            let done = id.is_some_and(|id| store.is_whole(id));
            if !lives(&name) && (done || name.contains("partial-")) {
                add(path, reason);
            }
        }
    }
    let artefacts = store.artefacts()?;
    if !rubbish.keep.is_empty() {
        let kept: BTreeSet<Fingerprint> =
            rubbish.keep.iter().flat_map(|plan| &plan.stages).map(|stage| stage.id).collect();
        for id in artefacts.iter().filter(|id| !kept.contains(id) && !lives(&id.short())) {
            add(store.object(*id), "no kept experiment needs it");
        }
    }
    if rubbish.weights {
        let read: BTreeSet<Fingerprint> = unanswered(store, &artefacts, &rubbish.keep);
        for id in artefacts.iter().filter(|id| !read.contains(id) && !lives(&id.short())) {
            if store.object(*id).join(MODEL).is_dir() {
                add(store.object(*id), "its answers are all there");
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

/// The stages that something unfinished reads, of the kept plans or else of every plan that was run.
fn unanswered(store: &Store, artefacts: &[Fingerprint], keep: &[Plan]) -> BTreeSet<Fingerprint> {
    let frozen;
    let plans = if keep.is_empty() {
        frozen = crate::history::frozen_plans(store);
        &frozen
    } else {
        keep
    };
    let known: BTreeSet<Fingerprint> = plans.iter().flat_map(|plan| &plan.stages).map(|stage| stage.id).collect();
    // What no plan knows may be anybody's.
    let mut read: BTreeSet<Fingerprint> = artefacts.iter().copied().filter(|id| !known.contains(id)).collect();
    for stage in plans.iter().flat_map(|plan| &plan.stages) {
        if !store.is_whole(stage.id) {
            read.extend(&stage.parents);
        }
    }
    read
}

/// Removes what [`find`] found. Artefacts leave their place by one rename first, so that no half of one is ever seen.
pub fn remove(store: &Store, removals: &[Removal]) -> Result<u64, Error> {
    let mut bytes = 0;
    for removal in removals {
        let path = &removal.path;
        let name = path.file_name().unwrap_or_default();
        let doomed = store.root().join("staging").join(format!("removed-{}", name.to_string_lossy()));
        let gone = if path.starts_with(store.root().join("objects")) {
            fs::rename(path, &doomed).map_err(Error::store(path))?;
            doomed.as_path()
        } else {
            path.as_path()
        };
        let removed = if gone.is_dir() { fs::remove_dir_all(gone) } else { fs::remove_file(gone) };
        removed.map_err(Error::store(gone))?;
        bytes += removal.bytes;
    }
    Ok(bytes)
}

fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

fn size(path: &Path) -> u64 {
    if path.is_dir() {
        entries(path).iter().map(|(_, path)| size(path)).sum()
    } else {
        fs::symlink_metadata(path).map_or(0, |m| m.len())
    }
}
