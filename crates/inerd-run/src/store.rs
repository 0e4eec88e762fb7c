//! The store: artefacts under their fingerprints. An artefact is a folder that is written elsewhere, flushed, and
//! published by one rename; after that nothing in it changes.
//!
//! ```text
//! store/
//!   objects/ab/abcd…/         an artefact: its files and MANIFEST.json
//!   staging/…                 artefacts being written; whatever is here after a crash is rubbish
//!   checkpoints/abcd…/        the state of a training that isn't finished
//!   claims/abcd….json         who works on a stage now
//!   failures/abcd….json       how a stage failed the last time
//!   damaged/…                 artefacts that were not what their manifests say
//!   plans/abcd….json          the plan of each run, as it was frozen before the run
//!   differences/abcd….patch   uncommitted changes of the code that artefacts were made with
//!   runs/<time>-….jsonl       what each run did, one event a line
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use inerd_experiment::{Fingerprint, Plan, State, StoreView};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::claim::Holder;
use crate::failure::replace;
use crate::provenance::Provenance;

/// The layout of `MANIFEST.json`.
const FORMAT: u32 = 1;
pub(crate) const MANIFEST: &str = "MANIFEST.json";

/// What an artefact consists of and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub fingerprint: Fingerprint,
    /// The stage's kind and settings, as they were fingerprinted.
    pub stage: serde_json::Value,
    /// The artefacts that this one was made from.
    pub parents: Vec<Fingerprint>,
    /// Path within the artefact to size and hash.
    pub files: BTreeMap<String, FileEntry>,
    pub provenance: Provenance,
    /// Facts about the stage's work (seconds, steps, tokens), by name.
    pub facts: BTreeMap<String, f64>,
    /// Files that a bundle left out: weights, mostly. They are not missed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub bytes: u64,
    pub blake3: String,
}

/// A folder of artefacts.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// How long a worker on another machine may be silent.
    lease: Duration,
    /// The last beat of such workers, and when it was seen first.
    seen: Arc<Mutex<BTreeMap<Fingerprint, (Holder, Instant)>>>,
    /// Artefacts whose hashes this process has compared.
    verified: Arc<Mutex<std::collections::BTreeSet<Fingerprint>>>,
}

/// The folders of a store.
const FOLDERS: [&str; 9] =
    ["objects", "staging", "checkpoints", "claims", "failures", "damaged", "plans", "differences", "runs"];

/// A published artefact.
#[derive(Debug, Clone)]
pub struct Artefact {
    dir: PathBuf,
    pub manifest: Manifest,
}

/// An artefact being written. Dropped without [`Store::publish`], it is removed.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    fingerprint: Fingerprint,
}

impl Store {
    /// Opens a store, creating its folders where needed.
    pub fn open(root: &Path) -> Result<Self, Error> {
        for folder in FOLDERS {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(Error::store(&path))?;
        }
        Ok(Self::at(root))
    }

    /// A store to read from, which nothing is written to: it may be on a read-only disk, or not be there at all.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), lease: Self::DEFAULT_LEASE, seen: Arc::default(), verified: Arc::default() }
    }

    /// The same store with another patience for workers on other machines.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    pub(crate) fn seen(&self) -> &Mutex<BTreeMap<Fingerprint, (Holder, Instant)>> {
        &self.seen
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn object(&self, fingerprint: Fingerprint) -> PathBuf {
        let name = fingerprint.to_string();
        self.root.join("objects").join(&name[..2]).join(name)
    }

    /// Where a training keeps its unfinished state.
    pub fn checkpoints(&self, fingerprint: Fingerprint) -> PathBuf {
        self.root.join("checkpoints").join(fingerprint.to_string())
    }

    /// Whether the artefact is there. Cheap: presence means that it was published whole.
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.object(fingerprint).join(MANIFEST).is_file()
    }

    /// Whether the artefact is there and its files have the sizes that they should have.
    pub fn is_whole(&self, fingerprint: Fingerprint) -> bool {
        self.contains(fingerprint) && self.get(fingerprint).is_ok()
    }

    /// Compares the hashes of an artefact, once per process: before something reads it.
    pub fn check(&self, fingerprint: Fingerprint) -> Result<(), Error> {
        let known = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&fingerprint) && self.contains(fingerprint) {
            return Ok(());
        }
        if !self.contains(fingerprint) {
            let (path, reason) = (self.object(fingerprint), "it is gone".to_owned());
            return Err(Error::Corrupt { fingerprint: Some(fingerprint), path, reason });
        }
        self.get(fingerprint)?.verify()?;
        known().insert(fingerprint);
        Ok(())
    }

    /// Compares the hashes of everything; gives what is damaged.
    pub fn verify(&self) -> Result<Vec<Error>, Error> {
        let checked = self.artefacts()?.into_iter().map(|id| self.get(id).and_then(|artefact| artefact.verify()));
        Ok(checked.filter_map(Result::err).collect())
    }

    /// Makes room for a damaged artefact's successor. Nothing is deleted: what was there lies in `damaged/`.
    pub(crate) fn put_aside(&self, fingerprint: Fingerprint) -> Result<(), Error> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).remove(&fingerprint);
        // Another worker may have made it anew meanwhile.
        if self.check(fingerprint).is_ok() {
            return Ok(());
        }
        let object = self.object(fingerprint);
        // The time tells several ruins of one artefact apart, for people.
        let target = self.root.join("damaged").join(format!("{fingerprint}.{}", crate::clock::now_ms()));
        match fs::rename(&object, target) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::store(&object)(e)),
            _ => Ok(()),
        }
    }

    /// Writes a plan down before it is worked: `plans/<fingerprint>.json`. Gives the file's path.
    pub fn freeze(&self, plan: &Plan) -> Result<PathBuf, Error> {
        let path = self.plan_file(plan.fingerprint());
        if !path.is_file() {
            replace(&path, plan.to_json().as_bytes()).map_err(Error::store(&path))?;
        }
        Ok(path)
    }

    /// Where the plan of that fingerprint lies, once it is frozen.
    pub fn plan_file(&self, fingerprint: Fingerprint) -> PathBuf {
        self.root.join("plans").join(format!("{fingerprint}.json"))
    }

    /// Whether an unfinished training left a checkpoint.
    pub fn has_checkpoint(&self, fingerprint: Fingerprint) -> bool {
        let whole =
            |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("step-"));
        fs::read_dir(self.checkpoints(fingerprint)).is_ok_and(|mut entries| entries.any(whole))
    }

    /// Opens an artefact. Sizes are compared here, hashes by [`Artefact::verify`].
    pub fn get(&self, fingerprint: Fingerprint) -> Result<Artefact, Error> {
        let dir = self.object(fingerprint);
        let path = dir.join(MANIFEST);
        let text = fs::read(&path).map_err(Error::store(&path))?;
        let corrupt = |reason| Error::Corrupt { fingerprint: Some(fingerprint), path: dir.clone(), reason };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| corrupt(format!("{MANIFEST}: {e}")))?;
        if manifest.format != FORMAT {
            return Err(corrupt(format!("{MANIFEST} has format {}, this version reads {FORMAT}", manifest.format)));
        }
        for (name, entry) in &manifest.files {
            let found = fs::metadata(dir.join(name)).map(|m| m.len()).map_err(|e| corrupt(format!("`{name}`: {e}")))?;
            if found != entry.bytes {
                return Err(corrupt(format!("`{name}` has {found} bytes instead of {}", entry.bytes)));
            }
        }
        Ok(Artefact { dir, manifest })
    }

    /// Begins an artefact: an empty folder to write into.
    pub fn begin(&self, fingerprint: Fingerprint) -> Result<Staging, Error> {
        static ATTEMPT: AtomicU64 = AtomicU64::new(0);
        loop {
            // Unique within the machine; a process id that is used again meets a folder that is there and goes on.
            let attempt = ATTEMPT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}.{}.{}.{attempt}", fingerprint.short(), crate::host::name(), std::process::id());
            let dir = self.root.join("staging").join(name);
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(Staging { dir, fingerprint }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::store(&dir)(e)),
            }
        }
    }

    /// Publishes what was written. Where another attempt was faster its artefact stays and ours is dropped: attempts
    /// at one stage are interchangeable.
    pub fn publish(
        &self,
        staging: Staging,
        stage: serde_json::Value,
        parents: Vec<Fingerprint>,
        provenance: Provenance,
        facts: BTreeMap<String, f64>,
    ) -> Result<Artefact, Error> {
        let fingerprint = staging.fingerprint;
        let mut files = BTreeMap::new();
        describe(&staging.dir, &staging.dir, &mut files)?;
        let left_out = BTreeMap::new();
        let manifest = Manifest { format: FORMAT, fingerprint, stage, parents, files, provenance, facts, left_out };
        let path = staging.dir.join(MANIFEST);
        let json = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::store(&path)(e.into()))?;
        fs::write(&path, json).map_err(Error::store(&path))?;
        sync(&path)?;
        sync(&staging.dir)?;
        let target = self.object(fingerprint);
        let shelf = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(shelf).map_err(Error::store(shelf))?;
        match fs::rename(&staging.dir, &target) {
            Ok(()) => sync(shelf)?,
            // Another attempt was faster, and is whole.
            Err(_) if self.get(fingerprint).is_ok() => {}
            Err(_) if target.exists() => {
                // What stands there is damaged: it makes room. It goes through staging, so that a crash leaves no half.
                let ruin = staging.dir.with_extension("damaged");
                fs::rename(&target, &ruin).map_err(Error::store(&target))?;
                fs::rename(&staging.dir, &target).map_err(Error::store(&target))?;
                sync(shelf)?;
                fs::remove_dir_all(&ruin).map_err(Error::store(&ruin))?;
            }
            Err(source) => return Err(Error::store(&target)(source)),
        }
        self.forget_checkpoints(fingerprint)?;
        self.get(fingerprint)
    }

    /// Removes the state of a training that is finished.
    pub(crate) fn forget_checkpoints(&self, fingerprint: Fingerprint) -> Result<(), Error> {
        let checkpoints = self.checkpoints(fingerprint);
        match fs::remove_dir_all(&checkpoints) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::store(&checkpoints)(e)),
            _ => Ok(()),
        }
    }

    /// All artefacts, in the order of their fingerprints.
    pub fn artefacts(&self) -> Result<Vec<Fingerprint>, Error> {
        let objects = self.root.join("objects");
        let mut found = Vec::new();
        for shelf in entries(&objects)? {
            for object in entries(&shelf)? {
                let name = object.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.extend(name.parse::<Fingerprint>());
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Staging {
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a successful publish the folder is gone; else there is nothing more to be done about a failure here.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Artefact {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Compares every file with its hash.
    pub fn verify(&self) -> Result<(), Error> {
        for (name, entry) in &self.manifest.files {
            let path = self.dir.join(name);
            let found = hash(&path)?;
            if found.blake3 != entry.blake3 {
                let reason = format!("`{name}` has hash {} instead of {}", found.blake3, entry.blake3);
                let fingerprint = Some(self.manifest.fingerprint);
                return Err(Error::Corrupt { fingerprint, path: self.dir.clone(), reason });
            }
        }
        Ok(())
    }

    fn corrupt(&self, name: &str, reason: &dyn std::fmt::Display) -> Error {
        let (fingerprint, path) = (Some(self.manifest.fingerprint), self.dir.clone());
        Error::Corrupt { fingerprint, path, reason: format!("`{name}`: {reason}") }
    }

    /// Reads a JSON file of the artefact.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let path = self.path(name);
        let bytes = fs::read(&path).map_err(Error::store(&path))?;
        serde_json::from_slice(&bytes).map_err(|e| self.corrupt(name, &e))
    }

    /// Reads a JSON-lines file of the artefact.
    pub fn json_lines<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, Error> {
        let path = self.path(name);
        let file = File::open(&path).map_err(Error::store(&path))?;
        inerd_text::read_json_lines(io::BufReader::new(file)).map_err(|e| self.corrupt(name, &e))
    }
}

impl StoreView for Store {
    fn state(&self, id: Fingerprint) -> State {
        if self.contains(id) {
            return if self.get(id).is_ok() { State::Published } else { State::Corrupt };
        }
        if self.holder(id).is_some() {
            return State::Running;
        }
        let checkpoint = self.has_checkpoint(id);
        match self.failure(id) {
            Some(failure) => State::Failed { class: failure.class, checkpoint },
            None if checkpoint || self.was_abandoned(id) => State::Interrupted { checkpoint },
            None => State::Absent,
        }
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = fs::read_dir(dir).map_err(Error::store(dir))?;
    read.map(|entry| entry.map(|e| e.path()).map_err(Error::store(dir))).collect()
}

/// Hashes and flushes every file below `dir`.
fn describe(root: &Path, dir: &Path, files: &mut BTreeMap<String, FileEntry>) -> Result<(), Error> {
    for path in entries(dir)? {
        if path.is_dir() {
            describe(root, &path, files)?;
            sync(&path)?;
        } else {
            sync(&path)?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, hash(&path)?);
        }
    }
    Ok(())
}

fn hash(path: &Path) -> Result<FileEntry, Error> {
    let mut file = File::open(path).map_err(Error::store(path))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).map_err(Error::store(path))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    Ok(FileEntry { bytes, blake3: hasher.finalize().to_string() })
}

fn sync(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|f| f.sync_all()).map_err(Error::store(path))
}
