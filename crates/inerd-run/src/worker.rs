//! One stage, from the claim to the artefact: what every executor calls, whoever decides which stage is next.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use inerd_experiment::{Calibration, Failure, Fingerprint, Measured, Stage};

use crate::claim::{Attempt, Claim};
use crate::event::{Event, EventLog};
use crate::provenance::Provenance;
use crate::run::{Context, Observer, Work};
use crate::stages::Job;
use crate::{Error, Holder, host};

/// What does a stage's work: the real stages ([`crate::work_stage`]), or something quicker in tests and benchmarks.
pub type StageWork<'a> = dyn Fn(&mut Job<'_>) -> Result<(), Error> + Sync + 'a;

/// How one stage ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done,
    /// Its artefact was there, or nothing needs it.
    Skipped,
    Failed {
        class: Failure,
        message: String,
    },
    /// It could not start: an input or a parent is missing.
    Blocked(String),
    /// Another worker has it.
    Elsewhere(Option<Holder>),
    /// Asked to stop; the checkpoint is kept.
    Interrupted,
    /// An artefact that it reads is damaged and was put aside.
    Damaged(Fingerprint),
}

/// How often a stage is tried within one run, and how long is waited before trying again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts after failures of the machine.
    pub attempts: u32,
    /// Before the second attempt; twice as long before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 3, pause: Duration::from_secs(2) }
    }
}

/// How often the sizes may be halved when memory runs out: to a thousandth.
const MOST_HALVINGS: u32 = 10;

/// Works stages one at a time.
pub struct Worker<'a> {
    pub context: &'a Context,
    pub log: &'a EventLog,
    pub observer: &'a dyn Observer,
    pub calibration: &'a Calibration,
    pub patience: Patience,
    pub work: &'a StageWork<'a>,
}

impl std::fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("context", self.context).finish_non_exhaustive()
    }
}

impl Worker<'_> {
    /// Claims a stage, works it and publishes its artefact.
    ///
    /// A failure of the machine is tried again; where memory runs out, with half as many sequences at once. Any other
    /// failure is recorded in the store and told as an outcome.
    ///
    /// # Errors
    /// Where the store can't be used: nothing else would work either.
    pub fn work(&self, stage: &Stage) -> Result<Outcome, Error> {
        let store = &self.context.store;
        if store.is_whole(stage.id) {
            return Ok(Outcome::Skipped);
        }
        let claim = match store.claim(stage.id, &self.context.device_name)? {
            Attempt::Mine(claim) => claim,
            Attempt::Theirs(holder) => return Ok(Outcome::Elsewhere(holder)),
        };
        // Between the look and the claim it may have been finished.
        if store.is_whole(stage.id) {
            return Ok(Outcome::Skipped);
        }
        let (mut attempt, mut halvings, mut pause) = (1, 0, self.patience.pause);
        loop {
            let predicted = self.calibration.cost(stage).seconds.middle;
            self.tell(&Event::StageStarted { stage: stage.id, label: stage.label.clone(), attempt, predicted })?;
            let error = match self.attempt(stage, &claim, halvings, predicted) {
                Ok(()) => return Ok(Outcome::Done),
                Err(error) => error,
            };
            let class = error.class();
            let Some(failure) = class.failure() else {
                self.tell(&Event::StageInterrupted { stage: stage.id, label: stage.label.clone() })?;
                return Ok(Outcome::Interrupted);
            };
            if let Error::Corrupt { fingerprint: Some(parent), .. } = &error
                && *parent != stage.id
            {
                store.put_aside(*parent)?;
                self.retried(stage, failure, &error)?;
                return Ok(Outcome::Damaged(*parent));
            }
            if class == crate::FailureClass::Store {
                return Err(error);
            }
            attempt += 1;
            match failure {
                Failure::OutOfMemory if halvings < MOST_HALVINGS => {
                    halvings += 1;
                    self.retried(stage, failure, &error)?;
                }
                Failure::Environment if attempt <= self.patience.attempts => {
                    self.retried(stage, failure, &error)?;
                    if self.sleep(pause) {
                        return Ok(Outcome::Interrupted);
                    }
                    pause *= 2;
                }
                _ => {
                    let message = error.to_string();
                    store.record_failure(stage.id, failure, &message)?;
                    let (id, label) = (stage.id, stage.label.clone());
                    let event = Event::StageFailed { stage: id, label, class: Some(failure), message: message.clone() };
                    self.tell(&event)?;
                    return Ok(Outcome::Failed { class: failure, message });
                }
            }
        }
    }

    /// One attempt: the work, and publishing it.
    fn attempt(&self, stage: &Stage, claim: &Claim, halvings: u32, predicted: f64) -> Result<(), Error> {
        let start = Instant::now();
        let store = &self.context.store;
        for parent in &stage.parents {
            store.check(*parent)?;
        }
        let staging = store.begin(stage.id)?;
        let told = |work: &Work| {
            claim.tell(work);
            self.observer.work(stage, work);
        };
        let dir = PathBuf::from(staging.dir());
        let mut job = Job { stage, context: self.context, dir, told: &told, halvings, facts: BTreeMap::new() };
        // A stage that panics must not take the others with it.
        match catch_unwind(AssertUnwindSafe(|| (self.work)(&mut job))) {
            Ok(worked) => worked?,
            Err(panic) => return Err(Error::panicked(said(panic.as_ref()))),
        }
        let seconds = start.elapsed().as_secs_f64();
        let mut facts = job.facts;
        facts.insert("seconds".to_owned(), seconds);
        facts.insert("predicted_seconds".to_owned(), predicted);
        facts.insert("predicted_memory".to_owned(), self.calibration.cost(stage).memory);
        facts.extend(host::peak_memory().map(|bytes| ("process_peak_memory".to_owned(), bytes)));
        if halvings > 0 {
            facts.insert("halved_for_memory".to_owned(), f64::from(halvings));
        }
        let provenance = Provenance::here(store, &self.context.device_name);
        store.publish(staging, stage.kind.identity(), stage.parents.clone(), provenance, facts)?;
        store.forget_failure(stage.id).map_err(Error::store(store.root()))?;
        let (label, measured) = (stage.label.clone(), Measured::new(stage, seconds));
        self.tell(&Event::StageFinished { stage: stage.id, label, seconds, predicted, measured })
    }

    fn retried(&self, stage: &Stage, class: Failure, error: &Error) -> Result<(), Error> {
        let (label, message) = (stage.label.clone(), error.to_string());
        self.tell(&Event::StageRetried { stage: stage.id, label, class, message })
    }

    /// Waits; gives whether it was asked to stop meanwhile.
    fn sleep(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if self.context.stop.load(Ordering::Relaxed) {
                return true;
            }
            std::thread::sleep(pause.min(Duration::from_millis(50)));
        }
        false
    }

    /// Writes an event down, then shows it.
    pub fn tell(&self, event: &Event) -> Result<(), Error> {
        self.log.write(event).map_err(Error::store(self.log.path()))?;
        self.observer.event(event);
        Ok(())
    }
}

/// The words of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "it panicked".to_owned())
}
