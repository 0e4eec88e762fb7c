//! What a run needs and gives, whichever executor works the plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use inerd_experiment::{Calibration, Fingerprint, Plan, Stage};
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::executor::local;
use crate::inputs::FileInputs;
use crate::store::Store;
use crate::worker::{Outcome, Patience, StageWork};
use crate::{Error, stages};

/// What stages work with.
#[derive(Debug, Clone)]
pub struct Context {
    pub store: Store,
    pub inputs: FileInputs,
    pub device: Device,
    /// As the user named it; for provenance.
    pub device_name: String,
    /// Set by a signal: stop at the next safe point.
    pub stop: Arc<AtomicBool>,
}

/// Progress of a stage at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// "step", "sentence", …
    pub what: String,
    pub done: usize,
    pub total: usize,
    /// Loss, score, …
    pub message: String,
}

/// Who looks on. Several workers tell at the same time.
pub trait Observer: Sync {
    fn event(&self, event: &Event);
    fn work(&self, stage: &Stage, work: &Work);
}

/// Nobody looks on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&self, _: &Event) {}
    fn work(&self, _: &Stage, _: &Work) {}
}

/// Which stages are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Asked {
    /// Every score.
    #[default]
    Everything,
    /// These, and what they need.
    Only(Vec<Fingerprint>),
    /// Those that failed before, and the scores that wait for them.
    Failed,
}

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Begin no further stage after the first failure, instead of working everything that doesn't depend on it.
    pub fail_fast: bool,
    pub asked: Asked,
    /// Devices that work at the same time, each with its name: one worker each. The context's own where it is empty.
    pub devices: Vec<(Device, String)>,
    /// What predictions rest on.
    pub calibration: Calibration,
    pub patience: Patience,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    pub outcomes: BTreeMap<Fingerprint, Outcome>,
    pub interrupted: bool,
}

impl Summary {
    /// Adds what came of a later round. What an earlier one has done stays done, though the later one finds it there.
    pub fn add(&mut self, later: Self) {
        for (id, outcome) in later.outcomes {
            if outcome != Outcome::Skipped || self.outcomes.get(&id) != Some(&Outcome::Done) {
                self.outcomes.insert(id, outcome);
            }
        }
        self.interrupted |= later.interrupted;
    }

    pub fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.values().filter(|o| of(o)).count()
    }

    /// Stages that were asked for and can't be had, whatever the reason.
    pub fn failed(&self) -> usize {
        self.count(|o| matches!(o, Outcome::Failed { .. } | Outcome::Blocked(_) | Outcome::Damaged(_)))
    }
}

/// Works the stages of `plan` that are needed and not in the store, on this machine.
///
/// A failed stage does not stop those that don't depend on it. The store's errors end the run: nothing else would work.
pub fn run(plan: &Plan, context: &Context, options: &Options, observer: &dyn Observer) -> Result<Summary, Error> {
    run_with(plan, context, options, observer, &stages::work)
}

/// [`run`] with other work than that of the real stages.
pub fn run_with(
    plan: &Plan,
    context: &Context,
    options: &Options,
    observer: &dyn Observer,
    work: &StageWork<'_>,
) -> Result<Summary, Error> {
    local::run(plan, context, options, observer, work)
}
