//! Several workers of one process, and several processes on one store. Each worker takes the first stage whose parents
//! are there; claims in the store keep two workers from one stage.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inerd_experiment::{
    Blocked, Decision, Failure, Fingerprint, Plan, Retry, Skip, Stage, State, StoreView, decide_all,
};

use crate::claim::Attempt;
use crate::event::{Event, EventLog};
use crate::run::{Asked, Context, Observer, Options, Summary};
use crate::worker::{Outcome, StageWork, Worker};
use crate::{Error, Store};

/// Rounds of a run: an artefact that turns out to be damaged is made anew in the next one.
const MOST_ROUNDS: usize = 5;
/// Between two looks at a stage that another process has: at first, and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

pub(crate) fn run(
    plan: &Plan,
    context: &Context,
    options: &Options,
    observer: &dyn Observer,
    work: &StageWork<'_>,
) -> Result<Summary, Error> {
    let runs = context.store.root().join("runs");
    context.store.freeze(plan)?;
    let log = EventLog::create(&runs).map_err(Error::store(&runs))?;
    let worker = |context| Worker {
        context,
        log: &log,
        observer,
        calibration: &options.calibration,
        patience: options.patience,
        work,
    };
    // One worker per device; without a list, one on the context's own.
    let contexts: Vec<Context> = match options.devices.as_slice() {
        [] => vec![context.clone()],
        devices => (devices.iter())
            .map(|(device, name)| Context { device: device.clone(), device_name: name.clone(), ..context.clone() })
            .collect(),
    };
    tidy(&context.store)?;
    let teller = worker(context);
    teller.tell(&Event::run_started(plan, &context.device_name, context.inputs.backend))?;
    let mut summary = Summary::default();
    for round in 1..=MOST_ROUNDS {
        let wanted = asked(plan, &context.store, &options.asked);
        // What failed in this run is not tried again by its later rounds.
        let retry = if round == 1 { Retry::All } else { Retry::Transient };
        let decisions = decide_all(plan, &context.store, retry, &wanted);
        let board = Board::new(plan, &decisions, options.fail_fast, context);
        board.tell_decisions(&decisions, &teller, round == 1)?;
        match contexts.as_slice() {
            [one] => board.work(&worker(one)),
            several => std::thread::scope(|scope| {
                for context in several {
                    let (board, worker) = (&board, worker(context));
                    scope.spawn(move || board.work(&worker));
                }
            }),
        }
        let ended = board.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = ended.error {
            return Err(error);
        }
        let stopped = |outcomes: &BTreeMap<_, Outcome>| outcomes.values().any(|o| *o == Outcome::Interrupted);
        let interrupted = context.stop.load(Ordering::Relaxed) || stopped(&ended.outcomes);
        summary.add(Summary { outcomes: ended.outcomes, interrupted });
        if !ended.damaged || summary.interrupted {
            break;
        }
    }
    let done = summary.count(|o| *o == Outcome::Done);
    let skipped = summary.count(|o| *o == Outcome::Skipped);
    let (failed, interrupted) = (summary.failed(), summary.interrupted);
    teller.tell(&Event::RunFinished { done, skipped, failed, interrupted })?;
    Ok(summary)
}

/// Takes away what a worker left that was killed between publishing its artefact and letting go of the stage.
fn tidy(store: &Store) -> Result<(), Error> {
    for id in store.claims().into_iter().filter(|id| store.is_whole(*id)) {
        if let Attempt::Mine(_claim) = store.claim(id, "tidying")? {
            store.forget_checkpoints(id)?;
        }
    }
    Ok(())
}

/// The stages that are asked for.
fn asked<'a>(plan: &'a Plan, store: &Store, asked: &'a Asked) -> Box<dyn Fn(&Stage) -> bool + 'a> {
    match asked {
        Asked::Everything => Box::new(Plan::is_score),
        Asked::Only(ids) => Box::new(|stage| ids.contains(&stage.id)),
        Asked::Failed => {
            // Parents stand before children: one pass finds everything behind a failure.
            let mut behind: BTreeSet<Fingerprint> = BTreeSet::new();
            for stage in &plan.stages {
                let failed = matches!(store.state(stage.id), State::Failed { .. });
                if failed || stage.parents.iter().any(|parent| behind.contains(parent)) {
                    behind.insert(stage.id);
                }
            }
            Box::new(move |stage| behind.contains(&stage.id))
        }
    }
}

/// What is left to do, shared by the workers.
struct Board<'a> {
    plan: &'a Plan,
    context: &'a Context,
    fail_fast: bool,
    /// The stages that read a stage's artefact, by position.
    children: Vec<Vec<usize>>,
    state: Mutex<BoardState>,
    changed: Condvar,
}

#[derive(Default)]
struct BoardState {
    /// Parents that have to be worked first, by position.
    waits_for: Vec<usize>,
    ready: BTreeSet<usize>,
    /// Stages that another process has: when to look again, and how long was waited.
    elsewhere: BTreeMap<usize, (Instant, Duration)>,
    /// Runs that a stage had failed in when it was seen at another process.
    failures_seen: BTreeMap<usize, u32>,
    at_work: usize,
    /// Begin nothing more.
    closed: bool,
    damaged: bool,
    outcomes: BTreeMap<Fingerprint, Outcome>,
    error: Option<Error>,
}

impl<'a> Board<'a> {
    fn new(plan: &'a Plan, decisions: &[Decision], fail_fast: bool, context: &'a Context) -> Self {
        let positions: BTreeMap<Fingerprint, usize> = plan.stages.iter().map(|s| s.id).zip(0..).collect();
        let mut children = vec![Vec::new(); plan.stages.len()];
        let mut state = BoardState { waits_for: vec![0; plan.stages.len()], ..BoardState::default() };
        let works = |at: usize| decisions[at].works() || decisions[at] == Decision::Wait;
        for (at, stage) in plan.stages.iter().enumerate() {
            for parent in stage.parents.iter().filter_map(|parent| positions.get(parent)) {
                children[*parent].push(at);
                state.waits_for[at] += usize::from(works(*parent));
            }
            if works(at) && state.waits_for[at] == 0 {
                state.ready.insert(at);
            }
        }
        Self { plan, context, fail_fast, children, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Skipped and blocked stages are settled before anything is worked.
    fn tell_decisions(&self, decisions: &[Decision], teller: &Worker<'_>, first: bool) -> Result<(), Error> {
        let mut state = self.lock();
        for (stage, decision) in self.plan.stages.iter().zip(decisions) {
            let outcome = match decision {
                Decision::Skip(skip) => {
                    if first {
                        teller.tell(&Event::StageSkipped { stage: stage.id, done: *skip == Skip::Done })?;
                    }
                    Outcome::Skipped
                }
                Decision::Blocked(Blocked::Failed(class)) => {
                    let message = self.context.store.failure(stage.id).map_or_else(String::new, |f| f.message);
                    Outcome::Failed { class: *class, message }
                }
                Decision::Blocked(_) => {
                    let how = stage.missing.iter().find_map(|missing| self.context.inputs.missing(missing));
                    let message = how.unwrap_or_else(|| format!("{decision}: {}", stage.missing.join(", ")));
                    if first {
                        blocked(stage, &message, teller)?;
                    }
                    Outcome::Blocked(message)
                }
                Decision::Run(_) | Decision::Resume(_) | Decision::Wait => continue,
            };
            state.outcomes.insert(stage.id, outcome);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One worker's day: stages, until none is left or it is asked to stop.
    fn work(&self, worker: &Worker<'_>) {
        while let Some(at) = self.next() {
            let outcome = match self.failed_elsewhere(at) {
                Some(outcome) => Ok(outcome),
                None => worker.work(&self.plan.stages[at]),
            };
            self.settle(at, outcome, worker);
        }
    }

    /// How a stage failed at another process while this one waited for it: trying again would fail again.
    fn failed_elsewhere(&self, at: usize) -> Option<Outcome> {
        let seen = *self.lock().failures_seen.get(&at)?;
        let failure = self.context.store.failure(self.plan.stages[at].id)?;
        (failure.runs > seen).then_some(Outcome::Failed { class: failure.class, message: failure.message })
    }

    /// The next stage; waits where the parents of all that is left are at work.
    fn next(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.closed || self.context.stop.load(Ordering::Relaxed) {
                return None;
            }
            let now = Instant::now();
            let due = state.elsewhere.iter().find(|(_, (look, _))| *look <= now).map(|(at, _)| *at);
            if let Some(at) = state.ready.pop_first().or(due) {
                state.at_work += 1;
                if let Some((look, waited)) = state.elsewhere.get_mut(&at) {
                    // Not again by another worker of this process meanwhile.
                    *look = now + LOOK.1 + *waited;
                }
                return Some(at);
            }
            if state.at_work == 0 && state.elsewhere.is_empty() {
                return None;
            }
            let wait = state.elsewhere.values().map(|(look, _)| look.saturating_duration_since(now)).min();
            let wait = wait.unwrap_or(LOOK.1).clamp(Duration::from_millis(1), Duration::from_millis(200));
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn settle(&self, at: usize, outcome: Result<Outcome, Error>, worker: &Worker<'_>) {
        let stage = &self.plan.stages[at];
        let mut state = self.lock();
        state.at_work -= 1;
        match outcome {
            Ok(Outcome::Elsewhere(holder)) => {
                let runs = self.context.store.failure(stage.id).map_or(0, |failure| failure.runs);
                let (_, waited) = *state.elsewhere.entry(at).or_insert((Instant::now(), Duration::ZERO));
                if waited.is_zero() {
                    state.failures_seen.insert(at, runs);
                    let holder = holder.map_or_else(|| "another worker".to_owned(), |h| h.to_string());
                    let event = Event::StageAwaited { stage: stage.id, label: stage.label.clone(), holder };
                    state.error = worker.tell(&event).err().or(state.error.take());
                }
                let wait = (2 * waited).clamp(LOOK.0, LOOK.1);
                state.elsewhere.insert(at, (Instant::now() + wait, wait));
            }
            Ok(outcome) => {
                state.elsewhere.remove(&at);
                match &outcome {
                    Outcome::Done | Outcome::Skipped => {
                        for child in &self.children[at] {
                            state.waits_for[*child] -= 1;
                            let settled = state.outcomes.contains_key(&self.plan.stages[*child].id);
                            if state.waits_for[*child] == 0 && !settled {
                                state.ready.insert(*child);
                            }
                        }
                    }
                    Outcome::Damaged(_) => state.damaged = true,
                    Outcome::Failed { .. } => {
                        state.closed |= self.fail_fast;
                        let error = self.block_behind(at, &mut state, worker).err();
                        state.error = error.or(state.error.take());
                    }
                    _ => {}
                }
                state.outcomes.insert(stage.id, outcome);
            }
            Err(error) => {
                state.closed = true;
                state.error.get_or_insert(error);
            }
        }
        state.closed |= state.error.is_some();
        drop(state);
        self.changed.notify_all();
    }

    /// Everything that would read the artefact of a failed stage can't begin.
    fn block_behind(&self, failed: usize, state: &mut BoardState, worker: &Worker<'_>) -> Result<(), Error> {
        let message = format!("stage {} is not there", self.plan.stages[failed].id.short());
        let mut open = vec![failed];
        while let Some(at) = open.pop() {
            for child in &self.children[at] {
                let stage = &self.plan.stages[*child];
                if let Entry::Vacant(outcome) = state.outcomes.entry(stage.id) {
                    outcome.insert(Outcome::Blocked(message.clone()));
                    blocked(stage, &message, worker)?;
                    open.push(*child);
                }
            }
        }
        Ok(())
    }
}

fn blocked(stage: &Stage, message: &str, worker: &Worker<'_>) -> Result<(), Error> {
    let (label, message) = (stage.label.clone(), message.to_owned());
    worker.tell(&Event::StageFailed { stage: stage.id, label, class: None::<Failure>, message })
}
