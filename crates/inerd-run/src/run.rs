//! Walks a plan: every stage that is needed and not there yet is worked, in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use inerd_experiment::{Decision, Fingerprint, Plan, Retry, Skip, Stage, State, StoreView, decide_all};

use crate::energy::Meter;
use crate::event::{Event, EventLog};
use crate::inputs::FileInputs;
use crate::provenance::Provenance;
use crate::stages;
use crate::store::Store;
use crate::{Error, FailureClass};

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

/// Progress of the stage at work.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// "step", "sentence", …
    pub what: &'static str,
    pub done: usize,
    pub total: usize,
    /// Loss, score, …
    pub message: String,
}

/// Who looks on.
pub trait Observer {
    fn event(&mut self, event: &Event);
    fn work(&mut self, work: &Work);
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Stop at the first failure instead of working everything that doesn't depend on it.
    pub fail_fast: bool,
}

/// How one stage ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done,
    Skipped,
    Failed {
        class: FailureClass,
        message: String,
    },
    /// It could not start: an input or a parent is missing.
    Blocked(String),
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    pub outcomes: BTreeMap<Fingerprint, Outcome>,
    pub interrupted: bool,
}

impl Summary {
    pub fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.values().filter(|o| of(o)).count()
    }

    pub fn failed(&self) -> usize {
        self.count(|o| matches!(o, Outcome::Failed { .. } | Outcome::Blocked(_)))
    }
}

impl StoreView for Store {
    fn state(&self, id: Fingerprint) -> State {
        if self.contains(id) {
            return if self.get(id).is_ok() { State::Published } else { State::Corrupt };
        }
        if self.has_checkpoint(id) { State::Interrupted { checkpoint: true } } else { State::Absent }
    }
}

/// Works the stages of `plan` that are needed and not in the store.
///
/// A failed stage does not stop those that don't depend on it. The store's errors end the run: nothing else would work.
pub fn run(plan: &Plan, context: &Context, options: Options, observer: &mut dyn Observer) -> Result<Summary, Error> {
    let runs = context.store.root().join("runs");
    let mut log = EventLog::create(&runs).map_err(Error::store(&runs))?;
    let mut tell = |event: Event, observer: &mut dyn Observer| -> Result<(), Error> {
        log.write(&event).map_err(Error::store(&runs))?;
        observer.event(&event);
        Ok(())
    };
    tell(
        Event::RunStarted {
            experiment: plan.experiment.clone(),
            plan: plan.fingerprint(),
            stages: plan.stages.len(),
            command: std::env::args().collect(),
        },
        observer,
    )?;
    let mut summary = Summary::default();
    let decisions = decide_all(plan, &context.store, Retry::All, &Plan::is_score);
    for (stage, decision) in plan.stages.iter().zip(decisions) {
        let outcome = match decision {
            Decision::Skip(skip) => {
                tell(Event::StageSkipped { stage: stage.id, done: skip == Skip::Done }, observer)?;
                Outcome::Skipped
            }
            Decision::Blocked(_) | Decision::Wait => Outcome::Blocked(blocked(stage, decision, context)),
            Decision::Run(_) | Decision::Resume(_) => match unavailable(stage, &summary) {
                Some(parent) => Outcome::Blocked(format!("{parent} is not there")),
                None => {
                    tell(Event::StageStarted { stage: stage.id, label: stage.label.clone() }, observer)?;
                    let start = Instant::now();
                    match work(stage, context, observer) {
                        Ok(()) => {
                            let seconds = start.elapsed().as_secs_f64();
                            let label = stage.label.clone();
                            tell(Event::StageFinished { stage: stage.id, label, seconds }, observer)?;
                            Outcome::Done
                        }
                        Err(Error::Interrupted) => {
                            tell(Event::StageInterrupted { stage: stage.id }, observer)?;
                            summary.interrupted = true;
                            break;
                        }
                        Err(error @ (Error::Store { .. } | Error::Corrupt { .. })) => return Err(error),
                        Err(error) => Outcome::Failed { class: error.class(), message: error.to_string() },
                    }
                }
            },
        };
        let trouble = match &outcome {
            Outcome::Failed { class, message } => Some((class.name(), message.clone())),
            Outcome::Blocked(message) => Some(("blocked", message.clone())),
            Outcome::Done | Outcome::Skipped => None,
        };
        if let Some((class, message)) = trouble {
            let (stage, label, class) = (stage.id, stage.label.clone(), class.to_owned());
            tell(Event::StageFailed { stage, label, class, message }, observer)?;
        }
        let failed = matches!(outcome, Outcome::Failed { .. } | Outcome::Blocked(_));
        summary.outcomes.insert(stage.id, outcome);
        if failed && options.fail_fast {
            break;
        }
        if context.stop.load(Ordering::Relaxed) {
            summary.interrupted = true;
            break;
        }
    }
    let done = summary.count(|o| *o == Outcome::Done);
    let skipped = summary.count(|o| *o == Outcome::Skipped);
    tell(Event::RunFinished { done, skipped, failed: summary.failed() }, observer)?;
    Ok(summary)
}

/// The first parent that failed in this run.
fn unavailable(stage: &Stage, summary: &Summary) -> Option<String> {
    let failed =
        |id: &&Fingerprint| matches!(summary.outcomes.get(id), Some(Outcome::Failed { .. } | Outcome::Blocked(_)));
    stage.parents.iter().find(failed).map(|id| format!("stage {}", id.short()))
}

fn blocked(stage: &Stage, decision: Decision, context: &Context) -> String {
    let how = stage.missing.iter().find_map(|missing| context.inputs.missing(missing));
    how.unwrap_or_else(|| format!("{decision}: {}", stage.missing.join(", ")))
}

/// Works one stage and publishes its artefact.
fn work(stage: &Stage, context: &Context, observer: &mut dyn Observer) -> Result<(), Error> {
    let start = Instant::now();
    let meter = Meter::start(&context.device_name);
    let staging = context.store.begin(stage.id)?;
    let mut job = stages::Job { stage, context, dir: PathBuf::from(staging.dir()), observer, facts: BTreeMap::new() };
    stages::work(&mut job)?;
    let mut facts = job.facts;
    facts.insert("seconds".to_owned(), start.elapsed().as_secs_f64());
    if let Some(joules) = meter.and_then(Meter::joules) {
        facts.insert("joules".to_owned(), joules);
    }
    let identity = stage.kind.identity();
    let provenance = Provenance::here(&context.device_name);
    context.store.publish(staging, identity, stage.parents.clone(), provenance, facts)?;
    Ok(())
}
