//! Claims of the living are kept, those of the dead are taken over, and no clock has a say in it.

use std::fs;
use std::time::{Duration, Instant};

use inerd_experiment::{State, StoreView as _};
use inerd_run::{Context, Outcome, Unobserved, run_with};

use crate::common::{Counter, context, impatient, pairs};

/// Writes a claim as another worker would have left it.
fn claim(context: &Context, id: inerd_experiment::Fingerprint, boot: &str, beat: u64) {
    let holder = serde_json::json!({
        "format": 1, "host": "node7", "boot": boot, "process": 4_000_000, "worker": "cuda:0",
        // A clock of another century.
        "since_ms": 9_000_000_000_000u64, "beat": beat,
    });
    fs::write(context.store.root().join(format!("claims/{id}.json")), holder.to_string()).unwrap();
}

#[test]
fn a_stage_whose_worker_was_killed_is_interrupted_and_picked_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(1), context(dir.path()), Counter::default());
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    claim(&context, plan.stages[0].id, boot.trim(), 17);
    assert_eq!(context.store.state(plan.stages[0].id), State::Interrupted { checkpoint: false });
    let summary = run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(summary.count(|o| *o == Outcome::Done), 2);
}

#[test]
fn a_silent_worker_of_another_machine_is_dead_after_a_lease_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, mut context, counter) = (pairs(1), context(dir.path()), Counter::default());
    let lease = Duration::from_millis(300);
    context.store = context.store.with_lease(lease);
    claim(&context, plan.stages[0].id, "another start of another machine", 3);
    assert_eq!(context.store.state(plan.stages[0].id), State::Running);
    let holder = context.store.holder(plan.stages[0].id).unwrap();
    assert_eq!(holder.to_string(), "process 4000000 on node7 (cuda:0)");
    let start = Instant::now();
    let summary = run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(summary.count(|o| *o == Outcome::Done), 2);
    assert!(start.elapsed() >= lease, "it was taken over after {:?}", start.elapsed());
}

#[test]
fn a_worker_of_another_machine_that_beats_keeps_its_stage_until_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, mut context, counter) = (pairs(1), context(dir.path()), Counter::default());
    context.store = context.store.with_lease(Duration::from_millis(400));
    let id = plan.stages[0].id;
    claim(&context, id, "elsewhere", 0);
    let summary = std::thread::scope(|scope| {
        let run =
            scope.spawn(|| run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap());
        for beat in 1..10 {
            std::thread::sleep(Duration::from_millis(100));
            claim(&context, id, "elsewhere", beat);
            assert_eq!(counter.total(), 0, "a living worker's stage was taken");
        }
        // It is done: the artefact is published, then the claim is gone.
        let other = crate::common::context(dir.path());
        let staging = other.store.begin(id).unwrap();
        fs::write(staging.dir().join("file.txt"), "made elsewhere").unwrap();
        let (stage, from) = (plan.stages[0].kind.identity(), inerd_run::Provenance::default());
        other.store.publish(staging, stage, Vec::new(), from, std::collections::BTreeMap::new()).unwrap();
        fs::remove_file(dir.path().join(format!("claims/{id}.json"))).unwrap();
        run.join().unwrap()
    });
    assert_eq!(summary.outcomes[&id], Outcome::Skipped, "it was executed once, and this run sees it");
    assert_eq!(counter.counts().into_keys().collect::<Vec<_>>(), ["score 0"]);
}

#[test]
fn who_works_on_a_stage_is_told_while_they_do() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(1), context(dir.path()), Counter::default());
    let other = crate::common::context(dir.path());
    let work = |job: &mut inerd_run::Job<'_>| {
        assert_eq!(other.store.state(job.stage.id), State::Running);
        let holder = other.store.holder(job.stage.id).unwrap();
        assert_eq!((holder.process, holder.worker.as_str()), (std::process::id(), "cpu"));
        counter.work(job)
    };
    let summary = run_with(&plan, &context, &impatient(), &Unobserved, &work).unwrap();
    assert_eq!(summary.failed(), 0, "{:?}", summary.outcomes);
}
