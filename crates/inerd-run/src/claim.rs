//! Who works on what. A worker claims a stage before it begins, beats while it works, and lets go when it is done; a
//! claim whose holder is dead is taken over.
//!
//! ```text
//! store/claims/abcd….json   the holder, and a number that grows every few seconds
//! ```
//!
//! No clock decides. On one machine the claim's file is locked for as long as its holder lives: the kernel lets go of
//! it when a process ends, however it ends. A holder on another machine (where the store lies on a network and locks
//! may not reach) is dead when its number stood still for [`LEASE`] of *our* monotonic time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use inerd_experiment::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::run::Work;
use crate::{Error, Store, clock, host};

const FORMAT: u32 = 1;
/// Between two beats.
const BEAT: Duration = Duration::from_secs(5);
/// A holder elsewhere that didn't beat for this long is dead.
const LEASE: Duration = Duration::from_mins(1);

/// Who holds a claim, and how far they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub format: u32,
    pub host: String,
    /// Tells this start of the machine from others, which the name doesn't.
    pub boot: String,
    pub process: u32,
    /// `cpu`, `cuda:1`, or the name that a scheduler gave.
    pub worker: String,
    /// For people; nothing is decided by it.
    pub since_ms: u64,
    /// Grows while the holder lives.
    pub beat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Work>,
}

impl Holder {
    fn here(worker: &str) -> Self {
        Self {
            format: FORMAT,
            host: host::name().to_owned(),
            boot: host::boot().to_owned(),
            process: std::process::id(),
            worker: worker.to_owned(),
            since_ms: clock::now_ms(),
            beat: 0,
            progress: None,
        }
    }

    /// Whether locks tell if it lives.
    fn is_here(&self) -> bool {
        self.boot == host::boot()
    }

    /// Whether both are one claim, at whatever beat.
    fn same_as(&self, other: &Self) -> bool {
        let of = |h: &Self| (h.boot.clone(), h.process, h.worker.clone(), h.since_ms);
        of(self) == of(other)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {} ({})", self.process, self.host, self.worker)
    }
}

/// What an attempt at a claim gave.
#[derive(Debug)]
pub(crate) enum Attempt {
    Mine(Claim),
    /// Another worker has it; who, where its file can be read.
    Theirs(Option<Holder>),
}

/// A stage that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    /// Locked.
    file: Arc<File>,
    shared: Arc<Shared>,
    heart: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<(bool, Holder)>,
    ended: Condvar,
}

impl Store {
    fn claim_file(&self, id: Fingerprint) -> PathBuf {
        self.root().join("claims").join(format!("{id}.json"))
    }

    /// Tries to claim a stage.
    pub(crate) fn claim(&self, id: Fingerprint, worker: &str) -> Result<Attempt, Error> {
        let path = self.claim_file(id);
        let failed = |e| Error::store(&path)(e);
        loop {
            let file = open(&path).map_err(failed)?;
            let locked = match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock) => return Ok(Attempt::Theirs(read(&file))),
                // A file system without locks: the beats must do for holders on this machine, too.
                Err(TryLockError::Error(_)) => false,
            };
            // Between opening and locking, the last holder may have let go and removed the file that we locked.
            if !fs::metadata(&path).is_ok_and(|now| file.metadata().is_ok_and(|ours| ours.ino() == now.ino())) {
                continue;
            }
            if let Some(holder) = read(&file)
                && !(locked && holder.is_here())
                && self.beats(id, &holder)
            {
                return Ok(Attempt::Theirs(Some(holder)));
            }
            return Claim::begin(path.clone(), file, Holder::here(worker)).map(Attempt::Mine).map_err(failed);
        }
    }

    /// Whether a holder on another machine still beats: it does until its number stood still for a whole lease while
    /// this process looked.
    fn beats(&self, id: Fingerprint, holder: &Holder) -> bool {
        let mut seen = self.seen().lock().unwrap_or_else(PoisonError::into_inner);
        let (beat, since) = seen.entry(id).or_insert_with(|| (holder.clone(), Instant::now()));
        if !beat.same_as(holder) || beat.beat != holder.beat {
            (*beat, *since) = (holder.clone(), Instant::now());
        }
        since.elapsed() < self.lease()
    }

    /// Who works on a stage now; `None` where nobody does. A holder that died counts as nobody.
    pub fn holder(&self, id: Fingerprint) -> Option<Holder> {
        let file = File::open(self.claim_file(id)).ok()?;
        // Holders here have an exclusive lock; a dead one has none. The lock that this takes is gone with `file`. Where
        // there are no locks, a claim counts as held: who wants the stage finds out.
        let locked = file.try_lock_shared().is_err();
        let holder = read(&file)?;
        (locked || !holder.is_here()).then_some(holder)
    }

    /// Whether somebody began to work on a stage and died.
    pub(crate) fn was_abandoned(&self, id: Fingerprint) -> bool {
        self.claim_file(id).exists() && self.holder(id).is_none()
    }

    /// Claims on disk, whoever holds them.
    pub(crate) fn claims(&self) -> Vec<Fingerprint> {
        let entries = fs::read_dir(self.root().join("claims")).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).collect()
    }

    pub(crate) const DEFAULT_LEASE: Duration = LEASE;
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn read(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(mut file: &File, holder: &Holder) -> io::Result<()> {
    let text = serde_json::to_vec(holder)?;
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

impl Claim {
    fn begin(path: PathBuf, file: File, holder: Holder) -> io::Result<Self> {
        write(&file, &holder)?;
        let file = Arc::new(file);
        let shared = Arc::new(Shared { state: Mutex::new((false, holder)), ended: Condvar::new() });
        let (beating, beaten) = (Arc::clone(&shared), Arc::clone(&file));
        let heart = std::thread::Builder::new().name("heart".to_owned()).spawn(move || beat(&beating, &beaten))?;
        Ok(Self { path, file, shared, heart: Some(heart) })
    }

    /// What the next beat tells those who ask.
    pub(crate) fn tell(&self, work: &Work) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).1.progress = Some(work.clone());
    }
}

fn beat(shared: &Shared, file: &File) {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    while !state.0 {
        state = shared.ended.wait_timeout(state, BEAT).unwrap_or_else(PoisonError::into_inner).0;
        if !state.0 {
            state.1.beat += 1;
            // A disk that is full now may have room at the next beat.
            let _ = write(file, &state.1);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
        self.shared.ended.notify_all();
        if let Some(heart) = self.heart.take() {
            let _ = heart.join();
        }
        // Removed while it is still locked: whoever waits for this lock sees that the file is another one now.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}
