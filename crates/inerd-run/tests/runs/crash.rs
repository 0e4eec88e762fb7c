//! Real sweeps whose process is killed at a random moment, over and over: the next run finishes them as if nothing had
//! happened. `INERD_CRASHES=200` asks for more of them than a usual test run has time for.
#![expect(clippy::print_stderr, reason = "says what the crashes met")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use inerd_experiment::{Experiment, Plan, Stage, State, StoreView as _};
use inerd_run::{Options, Store, Unobserved, event_logs, run};
use rand::RngExt as _;

use crate::common::context;

/// Two arms that share a training: every kind of stage, in well under a second.
const SWEEP: &str = r#"
[experiment]
question = "What is left after a crash?"
baseline = "free"
seeds    = { start = 1, count = 2 }

[[arm]]
name = "free"
set  = { "generate.rules" = "none" }

[[arm]]
name = "masked"
set  = { "generate.rules" = "exact" }

[data]
pool      = ["synth-news"]
target    = "synth-news"
max_test  = 4
max_valid = 4

[tokenizer]
vocabulary = 300

[model]
layers  = 1
width   = 16
heads   = 1
context = 192

[coarse]
enabled          = true
epochs           = 1
batch            = 8
checkpoint_every = 1
patience         = false
subset           = { max_sentences = 24 }
valid            = { metric = "none" }

[fine]
epochs           = 2
batch            = 8
checkpoint_every = 1
patience         = false
subset           = { max_sentences = 24 }
valid            = { metric = "loss" }

[generate]
max_new_tokens = 6
"#;

const CHILD: &str = "INERD_TEST_CRASH";

fn sweep(dir: &Path) -> Plan {
    let experiment = Experiment::load(dir.join("sweep.toml"), &[]).unwrap_or_else(|e| panic!("{:?}", e.problems));
    Plan::build(&experiment, &context(&dir.join("store")).inputs).unwrap()
}

/// The process that is killed: nothing but a run.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let context = context(&dir.join("store"));
    let summary = run(&sweep(&dir), &context, &Options::default(), &Unobserved).unwrap();
    assert_eq!(summary.failed(), 0, "{:?}", summary.outcomes);
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact"])
        .env(CHILD, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs a sweep to its end; gives what was said if that failed.
fn finish(dir: &Path) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let ended = command.args(["crash::child", "--exact", "--nocapture"]).env(CHILD, dir).output().unwrap();
    if ended.status.success() { String::new() } else { String::from_utf8_lossy(&ended.stderr).into_owned() }
}

/// A sweep's folder, with nothing done yet.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sweep.toml"), SWEEP).unwrap();
    dir
}

/// What must not differ: scores and weights of every stage, byte by byte.
fn results(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let mut results = BTreeMap::new();
    for id in store.artefacts().unwrap() {
        for name in ["scores.json", "model/model.safetensors", "train.jsonl", "tokenizer.json"] {
            if let Ok(bytes) = fs::read(store.get(id).unwrap().path(name)) {
                results.insert(format!("{id} {name}"), bytes);
            }
        }
    }
    results
}

/// Lines of the newest run's log; none before there is a run.
fn lines(store: &Path) -> usize {
    let log = event_logs(&store.join("runs")).pop();
    log.map_or(0, |log| fs::read_to_string(log).unwrap_or_default().lines().count())
}

/// Seconds of the longest stage.
fn longest_stage(store: &Store) -> f64 {
    let seconds = |id| store.get(id).unwrap().manifest.facts["seconds"];
    store.artefacts().unwrap().into_iter().map(seconds).fold(0.0, f64::max)
}

#[test]
fn sweeps_killed_at_random_moments_end_as_if_nothing_had_happened() {
    let crashes: u32 = match std::env::var_os("INERD_CRASHES") {
        Some(number) => number.to_string_lossy().parse().unwrap(),
        None => 20,
    };
    let reference = folder();
    let begin = Instant::now();
    assert!(start(reference.path()).wait().unwrap().success());
    let whole = begin.elapsed();
    let expected = results(&Store::at(&reference.path().join("store")));
    assert_eq!(expected.keys().filter(|key| key.ends_with("scores.json")).count(), 4);

    let plan = sweep(reference.path());
    let events = lines(&reference.path().join("store"));
    let longest = Duration::from_secs_f64(longest_stage(&Store::at(&reference.path().join("store"))));
    let mut random = inerd_lm::random::stream(1, "moments of death");
    let (mut at_work, mut with_checkpoint, mut twice) = (0, 0, 0);
    for crash in 0..crashes {
        let dir = folder();
        let store = Store::at(&dir.path().join("store"));
        // Some die more than once.
        for death in 0..=u32::from(crash % 4 == 3) {
            // At a random event of the run, and some time into what follows it: on a busy machine the clock alone would
            // mostly point before the work or behind it.
            let (event, later) = (random.random_range(0..events), longest.mul_f64(random.random_range(0.0..0.7)));
            let mut child = start(dir.path());
            while lines(store.root()) <= event && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(later);
            child.kill().unwrap();
            child.wait().unwrap();
            twice += death;
        }
        let files = |folder: &str| fs::read_dir(store.root().join(folder)).into_iter().flatten().count();
        // "Running" for ever (wandb): who was killed at a stage is not at work any more.
        let claimed = |stage: &&Stage| store.root().join(format!("claims/{}.json", stage.id)).exists();
        for stage in plan.stages.iter().filter(claimed).filter(|stage| !store.contains(stage.id)) {
            let state = store.state(stage.id);
            assert!(matches!(state, State::Interrupted { .. }), "{}: {state:?}", stage.label);
        }
        at_work += u32::from(files("claims") > 0);
        with_checkpoint += u32::from(files("checkpoints") > 0);
        let survived: Vec<_> = if store.root().exists() { store.artefacts().unwrap() } else { Vec::new() };
        let kept: Vec<_> =
            survived.iter().map(|id| fs::read(store.get(*id).unwrap().path("MANIFEST.json")).unwrap()).collect();

        let next = finish(dir.path());
        assert!(next.is_empty(), "the run after crash {crash} failed: {next}");
        assert!(store.verify().unwrap().is_empty(), "crash {crash} left damage");
        for (id, manifest) in survived.iter().zip(kept) {
            let now = fs::read(store.get(*id).unwrap().path("MANIFEST.json")).unwrap();
            assert!(now == manifest, "a finished stage was worked again after crash {crash}");
        }
        let found = results(&store);
        assert!(found.keys().eq(expected.keys()), "crash {crash} changed what was made");
        for (name, bytes) in &found {
            assert!(*bytes == expected[name], "{name} differs after crash {crash}");
        }
        assert_eq!(files("claims"), 0);
        assert_eq!(files("checkpoints"), 0);
    }
    eprintln!(
        "{crashes} sweeps of {whole:.2?}, {} kills: {at_work} with a stage at work, {with_checkpoint} with a checkpoint",
        crashes + twice
    );
    assert!(at_work * 4 > crashes, "most kills missed the work: {at_work} of {crashes}");
}
