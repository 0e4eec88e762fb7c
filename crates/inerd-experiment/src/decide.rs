//! Run, resume, skip or wait: one decision table for `plan`, `run` and `explain`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::plan::Plan;
use crate::stage::Stage;

/// What the store knows about a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Never heard of, or collected since.
    #[default]
    Absent,
    /// The artefact is there and whole.
    Published,
    /// The artefact is there, but its checksums are wrong.
    Corrupt,
    /// A living worker has it.
    Running,
    /// Its worker stopped or died.
    Interrupted { checkpoint: bool },
    /// It failed for good, or too often.
    Failed { class: Failure, checkpoint: bool },
}

/// Why a stage failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Even the smallest micro-batch didn't fit.
    OutOfMemory,
    /// The loss became infinite or not a number.
    Nan,
    /// An input is unreadable or doesn't fit.
    Data,
    /// Disk full, network, a lost node: the machine, not the stage.
    Environment,
    /// A defect of the program.
    Bug,
}

impl Failure {
    /// Whether trying again without a change can help.
    pub fn is_transient(self) -> bool {
        self == Self::Environment
    }
}

/// What a store tells about stages.
pub trait StoreView {
    fn state(&self, id: Fingerprint) -> State;
}

impl StoreView for BTreeMap<Fingerprint, State> {
    fn state(&self, id: Fingerprint) -> State {
        self.get(&id).copied().unwrap_or_default()
    }
}

/// A store without anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyStore;

impl StoreView for EmptyStore {
    fn state(&self, _: Fingerprint) -> State {
        State::Absent
    }
}

/// How far the artefacts that a stage reads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Parents {
    /// All published (or there are none).
    #[default]
    Ready,
    /// Some have to run first.
    Pending,
    /// Some can't be had.
    Blocked,
}

/// What a `run` was asked to do about failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// Try failed stages again: what `run` does at its start.
    All,
    /// Only those that failed for the machine's sake: what `run` does while it goes on.
    Transient,
}

/// All that the decision about one stage depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub state: State,
    /// A score that was asked for, or something that runs, reads its artefact.
    pub needed: bool,
    pub parents: Parents,
    /// All inputs from outside the store are at hand.
    pub inputs: bool,
    pub retry: Retry,
}

/// What happens to a stage, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", content = "reason", rename_all = "kebab-case")]
pub enum Decision {
    Skip(Skip),
    Run(Why),
    /// Continue from the newest checkpoint.
    Resume(Why),
    /// Another worker has it.
    Wait,
    Blocked(Blocked),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// Its artefact is in the store.
    Done,
    /// Everything that would read it is done.
    NotNeeded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    New,
    Corrupt,
    Interrupted,
    Failed(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocked {
    /// A dataset, model or text isn't at hand.
    MissingInput,
    /// A stage that it reads from can't run.
    Parent,
    /// It failed, and trying again would fail again.
    Failed(Failure),
}

impl Decision {
    /// Whether work is going to be done.
    pub fn works(self) -> bool {
        matches!(self, Self::Run(_) | Self::Resume(_))
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = |why: &Why| match why {
            Why::New => "not in the store".to_owned(),
            Why::Corrupt => "the stored artefact is damaged".to_owned(),
            Why::Interrupted => "it was interrupted".to_owned(),
            Why::Failed(class) => format!("it failed before: {class}"),
        };
        match self {
            Self::Skip(Skip::Done) => f.write_str("skip: done"),
            Self::Skip(Skip::NotNeeded) => f.write_str("skip: nothing needs it"),
            Self::Run(reason) => write!(f, "run: {}", why(reason)),
            Self::Resume(reason) => write!(f, "resume from its checkpoint: {}", why(reason)),
            Self::Wait => f.write_str("wait: another worker has it"),
            Self::Blocked(Blocked::MissingInput) => f.write_str("blocked: an input is missing"),
            Self::Blocked(Blocked::Parent) => f.write_str("blocked: a stage it reads from can't run"),
            Self::Blocked(Blocked::Failed(class)) => write!(f, "blocked: it failed: {class}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "out of memory",
            Self::Nan => "the loss is not a number",
            Self::Data => "bad data",
            Self::Environment => "the machine",
            Self::Bug => "a defect of the program",
        })
    }
}

/// The decision table. The first line that applies wins:
///
/// | | state | otherwise | decision |
/// |---|---|---|---|
/// | 1 | published | | skip: done |
/// | 2 | | not needed | skip: nothing needs it |
/// | 3 | running | | wait |
/// | 4 | failed, and not to be retried | | blocked: failed |
/// | 5 | | a parent is blocked | blocked: parent |
/// | 6 | | an input is missing | blocked: input |
/// | 7 | interrupted or failed, with a checkpoint | | resume |
/// | 8 | any other | | run |
///
/// Parents that are still pending don't change the decision: the stage runs after them. A failure of the data, a NaN
/// or a defect is not resumed from its checkpoint, for the checkpoint may hold the cause.
pub fn decide(case: Case) -> Decision {
    let Case { state, needed, parents, inputs, retry } = case;
    match state {
        State::Published => return Decision::Skip(Skip::Done),
        _ if !needed => return Decision::Skip(Skip::NotNeeded),
        State::Running => return Decision::Wait,
        State::Failed { class, .. } if retry == Retry::Transient && !class.is_transient() => {
            return Decision::Blocked(Blocked::Failed(class));
        }
        _ => {}
    }
    if parents == Parents::Blocked {
        return Decision::Blocked(Blocked::Parent);
    }
    if !inputs {
        return Decision::Blocked(Blocked::MissingInput);
    }
    match state {
        State::Interrupted { checkpoint: true } => Decision::Resume(Why::Interrupted),
        State::Failed { class: class @ (Failure::Environment | Failure::OutOfMemory), checkpoint: true } => {
            Decision::Resume(Why::Failed(class))
        }
        State::Interrupted { checkpoint: false } => Decision::Run(Why::Interrupted),
        State::Failed { class, .. } => Decision::Run(Why::Failed(class)),
        State::Corrupt => Decision::Run(Why::Corrupt),
        State::Absent | State::Published | State::Running => Decision::Run(Why::New),
    }
}

/// The decision about every stage of a plan, in the plan's order.
///
/// `wanted` says which stages are asked for (`--only`); a plan's scores are, usually: see [`Plan::is_score`].
pub fn decide_all(plan: &Plan, store: &dyn StoreView, retry: Retry, wanted: &dyn Fn(&Stage) -> bool) -> Vec<Decision> {
    let states: BTreeMap<Fingerprint, State> = plan.stages.iter().map(|s| (s.id, store.state(s.id))).collect();
    let state = |id: &Fingerprint| states.get(id).copied().unwrap_or_default();

    // Children stand behind their parents, so one backward pass finds what is needed.
    let mut needed: BTreeMap<Fingerprint, bool> = BTreeMap::new();
    for stage in plan.stages.iter().rev() {
        let own = wanted(stage) || needed.get(&stage.id).copied().unwrap_or(false);
        needed.insert(stage.id, own);
        if own && state(&stage.id) != State::Published {
            for parent in &stage.parents {
                needed.insert(*parent, true);
            }
        }
    }

    let mut decisions: BTreeMap<Fingerprint, Decision> = BTreeMap::new();
    let mut out = Vec::with_capacity(plan.stages.len());
    for stage in &plan.stages {
        let parents = stage
            .parents
            .iter()
            .map(|parent| match decisions.get(parent) {
                Some(Decision::Skip(Skip::Done)) => Parents::Ready,
                Some(Decision::Blocked(_)) => Parents::Blocked,
                _ => Parents::Pending,
            })
            .max()
            .unwrap_or_default();
        let decision = decide(Case {
            state: state(&stage.id),
            needed: needed.get(&stage.id).copied().unwrap_or(false),
            parents,
            inputs: stage.missing.is_empty(),
            retry,
        });
        decisions.insert(stage.id, decision);
        out.push(decision);
    }
    out
}
