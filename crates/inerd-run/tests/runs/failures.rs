//! What fails, how that is told, and what is tried again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use inerd_experiment::{Failure, State, StoreView as _};
use inerd_run::{Asked, Error, Event, Job, Observer, Options, Outcome, Unobserved, Work, run_with};

use crate::common::{Counter, context, impatient, pairs, workers};

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Event>>);

impl Observer for Notes {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }

    fn work(&self, _: &inerd_experiment::Stage, _: &Work) {}
}

fn diverged() -> Error {
    Error::Training(inerd_training::Error::Diverged { step: 3, loss: f64::NAN })
}

fn unreadable() -> Error {
    let source = std::io::Error::from_raw_os_error(5);
    Error::Model(inerd_lm::Error::Read { path: "weights".into(), source })
}

/// Works all stages but `root 1`, which fails as told.
fn failing(
    counter: &Counter,
    fail: impl Fn(&mut Job<'_>) -> Result<(), Error> + Sync,
) -> impl Fn(&mut Job<'_>) -> Result<(), Error> + Sync {
    move |job| {
        counter.work(job)?;
        if job.stage.label == "root 1" { fail(job) } else { Ok(()) }
    }
}

/// Runs three pairs whose `root 1` fails; gives the class, how often it was tried, and how many stages failed or wait.
fn outcome(fail: impl Fn(&mut Job<'_>) -> Result<(), Error> + Sync) -> (State, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(3), context(dir.path()), Counter::default());
    let summary = run_with(&plan, &context, &impatient(), &Unobserved, &failing(&counter, fail)).unwrap();
    // The others are done, whatever happens to one.
    assert!(summary.count(|o| *o == Outcome::Done) >= 4);
    let state = context.store.state(plan.stages[2].id);
    (state, counter.counts()["root 1"], summary.failed())
}

#[test]
fn only_failures_of_the_machine_are_tried_again() {
    let failed = |class| State::Failed { class, checkpoint: false };
    assert_eq!(outcome(|_| Err(diverged())), (failed(Failure::Nan), 1, 2));
    assert_eq!(outcome(|_| Err(Error::Unsupported("no".into()))), (failed(Failure::Data), 1, 2));
    assert_eq!(outcome(|_| Err(Error::Bug("oh".into()))), (failed(Failure::Bug), 1, 2));
    assert_eq!(outcome(|_| panic!("index out of bounds")), (failed(Failure::Bug), 1, 2));
    assert_eq!(outcome(|_| Err(unreadable())), (failed(Failure::Environment), 3, 2));
}

#[test]
fn a_moment_of_the_machine_passes() {
    let tries = AtomicUsize::new(0);
    let once = |_: &mut Job<'_>| if tries.fetch_add(1, Ordering::SeqCst) == 0 { Err(unreadable()) } else { Ok(()) };
    assert_eq!(outcome(once), (State::Published, 2, 0));
}

#[test]
fn less_is_put_into_the_model_at_once_when_memory_runs_out() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(2), context(dir.path()), Counter::default());
    let sizes = Mutex::new(Vec::new());
    let notes = Notes::default();
    // A device with room for three sequences, which says so as one of today's does.
    let work = failing(&counter, |job| {
        let at_once = job.at_once(16);
        sizes.lock().unwrap().push(at_once);
        assert!(at_once <= 3, "Out of memory: can't allocate a buffer of 1073741824 bytes");
        Ok(())
    });
    let summary = run_with(&plan, &context, &impatient(), &notes, &work).unwrap();
    assert_eq!((summary.failed(), sizes.lock().unwrap().clone()), (0, vec![16, 8, 4, 2]));
    assert!((context.store.get(plan.stages[2].id).unwrap().manifest.facts["halved_for_memory"] - 3.0).abs() < 1e-9);
    let events = notes.0.lock().unwrap();
    let again = |e: &&Event| matches!(e, Event::StageRetried { class: Failure::OutOfMemory, .. });
    assert_eq!(events.iter().filter(again).count(), 3);
}

#[test]
fn memory_that_no_size_fits_is_a_failure_in_the_end() {
    let (state, tries, failed) = outcome(|_| panic!("CUDA_ERROR_OUT_OF_MEMORY"));
    assert_eq!((state, tries, failed), (State::Failed { class: Failure::OutOfMemory, checkpoint: false }, 11, 2));
}

#[test]
fn failed_stages_are_tried_again_by_the_next_run_and_alone_where_that_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(3), context(dir.path()), Counter::default());
    let some = Options { asked: Asked::Only(vec![plan.stages[3].id]), ..impatient() };
    run_with(&plan, &context, &some, &Unobserved, &failing(&counter, |_| Err(diverged()))).unwrap();
    let record = context.store.failure(plan.stages[2].id).unwrap();
    assert_eq!((record.class, record.runs), (Failure::Nan, 1));
    assert!(record.message.contains("lower the learning rate"), "{}", record.message);

    let counter = Counter::default();
    let failed = Options { asked: Asked::Failed, ..impatient() };
    let summary = run_with(&plan, &context, &failed, &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(counter.counts().into_keys().collect::<Vec<_>>(), ["root 1", "score 1"]);
    assert_eq!(summary.failed(), 0);
    assert_eq!(context.store.failure(plan.stages[2].id), None, "a success ends the failure");
}

#[test]
fn fail_fast_begins_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(6), context(dir.path()), Counter::default());
    let options = Options { fail_fast: true, ..impatient() };
    let summary = run_with(&plan, &context, &options, &Unobserved, &failing(&counter, |_| Err(diverged()))).unwrap();
    assert!(summary.failed() >= 1);
    // In the plan's order: the fourth stage and all behind it were not begun.
    assert_eq!(counter.counts().into_keys().collect::<Vec<_>>(), ["root 0", "root 1", "score 0"]);
}

#[test]
fn a_request_to_stop_is_heard_and_the_next_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(4), context(dir.path()), Counter::default());
    let work = failing(&counter, |job| {
        job.context.stop.store(true, Ordering::Relaxed);
        Err(Error::Interrupted)
    });
    let summary = run_with(&plan, &context, &workers(&context, 2), &Unobserved, &work).unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.outcomes[&plan.stages[2].id], Outcome::Interrupted);
    context.stop.store(false, Ordering::Relaxed);
    let summary = run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert!(!summary.interrupted && summary.failed() == 0);
    assert!(plan.stages.iter().all(|s| context.store.state(s.id) == State::Published));
}

/// Two readers of one artefact that is not what its manifest says.
#[test]
fn a_damaged_or_deleted_artefact_is_made_anew_and_nothing_is_lost() {
    for ruin in [
        |path: &std::path::Path| std::fs::write(path, "rOOt 1").unwrap(),
        |path: &std::path::Path| {
            std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (plan, context, counter) = (pairs(3), context(dir.path()), Counter::default());
        let roots = plan.stages.iter().filter(|s| s.label.starts_with("root")).map(|s| s.id).collect();
        let options = Options { asked: Asked::Only(roots), ..impatient() };
        run_with(&plan, &context, &options, &Unobserved, &|job| counter.work(job)).unwrap();
        // The same length: only the hash tells.
        let file = context.store.get(plan.stages[2].id).unwrap().path("file.txt");
        // The damage happens after the plan was made, while the first stage is at work.
        let ruined = std::sync::Once::new();
        let notes = Notes::default();
        // A new process: it has compared no hash yet.
        let context = crate::common::context(dir.path());
        let summary = run_with(&plan, &context, &impatient(), &notes, &|job| {
            ruined.call_once(|| ruin(&file));
            counter.work(job)
        });
        let summary = summary.unwrap();
        assert_eq!(summary.failed(), 0, "{:?}", summary.outcomes);
        assert_eq!(counter.counts()["root 1"], 2, "it was made anew");
        assert_eq!(counter.counts()["root 0"], 1);
        assert!(context.store.verify().unwrap().is_empty());
        let told = notes.0.lock().unwrap().iter().any(|event| match event {
            Event::StageRetried { message, .. } => message.contains("damaged") && message.contains("anew"),
            _ => false,
        });
        assert!(told, "nobody was told");
    }
}
