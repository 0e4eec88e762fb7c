//! Plans become artefacts: once, by as many workers as there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use inerd_experiment::{Decision, Plan, Retry, State, StoreView as _, decide_all};
use inerd_run::{
    Asked, Event, Options, Outcome, Store, Unobserved, calibration, event_logs, past_runs, read_events, run_with,
};

use crate::common::{Counter, context, impatient, pairs, plan_of, root, score, stage, workers};

#[test]
fn a_second_run_finds_everything_done() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(5), context(dir.path()), Counter::default());
    let first = run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!((first.count(|o| *o == Outcome::Done), first.failed()), (10, 0));
    let second = run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(second.count(|o| *o == Outcome::Skipped), 10);
    assert_eq!(counter.total(), 10);
    assert!(context.store.verify().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(dir.path().join("claims")).unwrap().count(), 0, "a claim is left");
}

#[test]
fn the_plan_and_the_run_agree() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(4), context(dir.path()), Counter::default());
    let some = Options { asked: Asked::Only(vec![plan.stages[1].id, plan.stages[2].id]), ..impatient() };
    run_with(&plan, &context, &some, &Unobserved, &|job| counter.work(job)).unwrap();
    let decisions = decide_all(&plan, &context.store, Retry::All, &Plan::is_score);
    let planned: Vec<String> =
        plan.stages.iter().zip(&decisions).filter(|(_, d)| d.works()).map(|(s, _)| s.label.clone()).collect();
    let counter = Counter::default();
    run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    let mut worked: Vec<String> = counter.counts().into_keys().collect();
    worked.sort_by_key(|label| plan.stages.iter().position(|s| s.label == *label));
    assert_eq!(worked, planned);
    assert_eq!(planned, ["score 1", "root 2", "score 2", "root 3", "score 3"]);
}

#[test]
fn workers_and_processes_share_the_stages_and_work_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, counter) = (pairs(20), Counter::default());
    let most = AtomicUsize::new(0);
    let now = AtomicUsize::new(0);
    let work = |job: &mut inerd_run::Job<'_>| {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        let worked = counter.work(job);
        now.fetch_sub(1, Ordering::SeqCst);
        worked
    };
    let summaries: Vec<_> = std::thread::scope(|scope| {
        let run = || {
            // A store of its own, as another process has it: nothing is shared but the disk.
            let context = context(dir.path());
            run_with(&plan, &context, &workers(&context, 3), &Unobserved, &work).unwrap()
        };
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(counter.counts().values().all(|count| *count == 1), "{:?}", counter.counts());
    assert_eq!(counter.total(), 40);
    for summary in &summaries {
        // Executed once, and every run sees it.
        assert_eq!(summary.outcomes.len(), 40);
        assert_eq!(summary.failed(), 0);
    }
    let done: usize = summaries.iter().map(|s| s.count(|o| *o == Outcome::Done)).sum();
    assert_eq!(done, 40);
    assert!(most.into_inner() > 1, "nothing was worked at the same time");
}

#[test]
fn a_parent_is_there_before_its_reader_begins() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(dir.path());
    // A chain beside a fan.
    let mut stages = vec![stage(root(0), "root")];
    let mut last = stages[0].id;
    for n in 0..10 {
        let link = stage(score(last, stages[0].id), &format!("link {n}"));
        last = link.id;
        stages.push(link);
    }
    let plan = plan_of(stages);
    let store = Store::open(dir.path()).unwrap();
    let work = |job: &mut inerd_run::Job<'_>| {
        for parent in &job.stage.parents {
            assert!(store.contains(*parent), "{} began before its parent", job.stage.label);
        }
        std::fs::write(job.dir.join("x"), "")
            .map_err(|source| inerd_run::Error::Store { path: job.dir.clone(), source })
    };
    let summary = run_with(&plan, &context, &workers(&context, 4), &Unobserved, &work).unwrap();
    assert_eq!(summary.count(|o| *o == Outcome::Done), 11);
}

#[test]
fn resuming_after_some_of_the_seeds_works_exactly_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(dir.path());
    let counter = Counter::default();
    // Three of eight replicates were there when the first run ended.
    run_with(&pairs(3), &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    let counter = Counter::default();
    run_with(&pairs(8), &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(counter.total(), 2 * (8 - 3));
}

#[test]
fn only_what_is_asked_for_is_worked_with_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(3), context(dir.path()), Counter::default());
    let options = Options { asked: Asked::Only(vec![plan.stages[3].id]), ..impatient() };
    run_with(&plan, &context, &options, &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(counter.counts().into_keys().collect::<Vec<_>>(), ["root 1", "score 1"]);
}

#[test]
fn a_run_freezes_its_plan_and_writes_down_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(2), context(dir.path()), Counter::default());
    run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    let frozen = std::fs::read_to_string(context.store.plan_file(plan.fingerprint())).unwrap();
    assert_eq!(Plan::from_json(&frozen).unwrap(), plan);

    let logs = event_logs(&dir.path().join("runs"));
    assert_eq!(logs.len(), 1);
    let text = std::fs::read_to_string(&logs[0]).unwrap();
    assert!(text.lines().all(|line| line.starts_with("{\"format\":2,")), "{text}");
    let events: Vec<Event> = read_events(&logs[0]).unwrap().into_iter().map(|(_, event)| event).collect();
    assert!(matches!(&events[0], Event::RunStarted { plan: p, stages: 4, .. } if *p == plan.fingerprint()));
    assert!(matches!(events.last(), Some(Event::RunFinished { done: 4, failed: 0, interrupted: false, .. })));
    let finished = events.iter().filter(|e| matches!(e, Event::StageFinished { .. })).count();
    assert_eq!(finished, 4);
    // A line that a crash cut off is left out; the rest is read.
    std::fs::write(&logs[0], &text[..text.len() - 10]).unwrap();
    assert_eq!(read_events(&logs[0]).unwrap().len(), events.len() - 1);
}

#[test]
fn later_predictions_learn_from_earlier_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(6), context(dir.path()), Counter::default());
    assert_eq!(calibration(&context.store, context.inputs.backend).runs(), 0);
    run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    let learnt = calibration(&context.store, context.inputs.backend);
    assert_eq!(learnt.runs(), 12);
    let before = inerd_experiment::Calibration::default().cost(&plan.stages[0]).seconds;
    let after = learnt.cost(&plan.stages[0]).seconds;
    let measured = context.store.get(plan.stages[0].id).unwrap().manifest.facts["seconds"];
    assert!((after.middle.ln() - measured.ln()).abs() < (before.middle.ln() - measured.ln()).abs());
    assert!(after.high / after.low < before.high / before.low, "the interval narrows");
    // What was predicted stands beside what was measured.
    let facts = &context.store.get(plan.stages[0].id).unwrap().manifest.facts;
    assert!((facts["predicted_seconds"] - before.middle).abs() < 1e-12);
    assert!(facts["process_peak_memory"] > 1e6);
    // Measurements of another machine teach nothing.
    for log in event_logs(&dir.path().join("runs")) {
        let text = std::fs::read_to_string(&log).unwrap();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        std::fs::write(&log, text.replace(&format!("\"host\":\"{}\"", host.trim()), "\"host\":\"elsewhere\"")).unwrap();
    }
    assert_eq!(calibration(&context.store, context.inputs.backend).runs(), 0);
}

/// Names of logs carry the time for people's sake; nothing is decided by it.
#[test]
fn a_clock_that_jumps_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, context, counter) = (pairs(2), context(dir.path()), Counter::default());
    run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    let log = event_logs(&dir.path().join("runs")).remove(0);
    // As if this run had been in the year 2255, with time running backwards.
    let text = std::fs::read_to_string(&log).unwrap();
    let mut time = 9_000_000_000_000u64;
    let jumping: Vec<String> = (text.lines())
        .map(|line| {
            time -= 1_000_000_000;
            let (head, tail) = line.split_once("\"time_ms\":").unwrap();
            let (_, rest) = tail.split_once(',').unwrap();
            format!("{head}\"time_ms\":{time},{rest}\n")
        })
        .collect();
    std::fs::write(dir.path().join("runs/9000000000000-far-1.jsonl"), jumping.concat()).unwrap();
    for id in &plan.stages {
        let path = context.store.get(id.id).unwrap().path("MANIFEST.json");
        let manifest = std::fs::read_to_string(&path).unwrap();
        let (head, tail) = manifest.split_once("\"time_ms\": ").unwrap();
        std::fs::write(&path, format!("{head}\"time_ms\": 9000000000000{}", &tail[13..])).unwrap();
    }
    let again = run_with(&plan, &context, &impatient(), &Unobserved, &|job| counter.work(job)).unwrap();
    assert_eq!(again.count(|o| *o == Outcome::Skipped), 4);
    assert_eq!(counter.total(), 4);
    assert_eq!(past_runs(&context.store, 10).len(), 3);
    assert!(plan.stages.iter().all(|s| context.store.state(s.id) == State::Published));
    assert_eq!(calibration(&context.store, context.inputs.backend).runs(), 8);
    let decisions = decide_all(&plan, &context.store, Retry::All, &Plan::is_score);
    assert!(decisions.iter().all(|d| matches!(d, Decision::Skip(_))));
}
