//! From a file to a report, and again, and after a crash.

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Lab, TINY};

#[test]
fn a_file_becomes_a_report_and_a_second_run_does_nothing() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    let report = std::fs::read_to_string(lab.path("reports/experiment/report.md")).unwrap();
    assert!(report.contains("free") && report.contains("masked") && report.contains("synth-news"), "{report}");
    // The two arms share one training: 2 corpora, 1 tokenizer, 1 training, 2 generations, 2 scores.
    assert_eq!(lab.stored("MANIFEST.json").len(), 8);

    let before = lab.stored("MANIFEST.json");
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 stages done", "8 were there already"]);
    assert_eq!(lab.stored("MANIFEST.json"), before, "something in the store changed");
}

#[test]
fn masks_leave_nothing_that_is_not_in_the_text_or_the_types() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml"]).expect(0, &[]);
    let scores: Vec<Value> =
        lab.stored("scores.json").values().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect();
    assert_eq!(scores.len(), 2);
    let count = |score: &Value, class: &str| score["hallucinations"]["classes"][class]["count"].as_u64().unwrap();
    let hallucinated = |score: &Value| {
        ["out-of-text", "out-of-schema", "unparsable", "sub-word"].iter().map(|c| count(score, c)).sum::<u64>()
    };
    let mut sums: Vec<u64> = scores.iter().map(hallucinated).collect();
    sums.sort_unstable();
    assert_eq!(sums[0], 0, "the masked arm hallucinates");
    assert!(sums[1] > 0, "a model after twelve steps should hallucinate without masks, else this test says nothing");
}

#[test]
fn a_run_killed_at_any_moment_is_finished_by_the_next_with_the_same_scores() {
    let reference = Lab::new(TINY);
    let start = Instant::now();
    reference.run(&["run", "experiment.toml"]).expect(0, &[]);
    let whole = start.elapsed();
    let scores = reference.stored("scores.json");
    for share in [0.2, 0.5, 0.8] {
        let lab = Lab::new(TINY);
        let mut child = lab.start(&["run", "experiment.toml", "--set", "fine.checkpoint_every=1"]);
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(20)));
        child.kill().unwrap();
        child.wait().unwrap();
        let survived = lab.stored("MANIFEST.json");
        lab.run(&["run", "experiment.toml", "--set", "fine.checkpoint_every=1"]).expect(0, &["0 failed"]);
        let finished = lab.stored("MANIFEST.json");
        for (artefact, manifest) in &survived {
            assert_eq!(finished.get(artefact), Some(manifest), "a finished stage was run again");
        }
        assert_eq!(lab.stored("scores.json"), scores, "killed after {share} of the run");
    }
}

#[test]
fn a_request_to_stop_leaves_a_checkpoint_and_its_own_code() {
    let long = TINY.replace("epochs   = 2", "epochs   = 2000");
    let lab = Lab::new(&long);
    let mut child = lab.start(&["run", "experiment.toml"]);
    let checkpoints = lab.path("store/checkpoints");
    let deadline = Instant::now() + Duration::from_mins(1);
    let trains = || std::fs::read_dir(&checkpoints).is_ok_and(|mut entries| entries.next().is_some());
    while !trains() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(300));
    let killed = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let plan = lab.run(&["plan", "experiment.toml"]).expect(0, &[]);
    assert!(plan.stdout().contains("resume from its checkpoint"), "{}", plan.stdout());
}

#[test]
fn plan_says_what_run_does() {
    let lab = Lab::new(TINY);
    let planned = |lab: &Lab| -> Vec<(String, String)> {
        let plan = lab.run(&["plan", "experiment.toml", "--output", "json"]).expect(0, &[]);
        let plan: Value = serde_json::from_str(&plan.stdout()).unwrap();
        let stages = plan["stages"].as_array().unwrap().iter();
        stages
            .map(|s| (s["id"].as_str().unwrap().to_owned(), s["decision"]["action"].as_str().unwrap().to_owned()))
            .collect()
    };
    let before = planned(&lab);
    assert!(before.iter().all(|(_, action)| action == "run"), "{before:?}");
    lab.run(&["run", "experiment.toml"]).expect(0, &[]);
    let made = lab.stored("MANIFEST.json");
    assert_eq!(made.len(), before.len());
    for (id, action) in planned(&lab) {
        assert!(made.contains_key(&id), "{id} was planned and not made");
        assert_eq!(action, "skip");
    }
}

#[test]
fn every_committed_experiment_plans() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let lab = Lab::new(TINY);
    let mut folders = vec![folder];
    let mut planned = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "base") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") {
                let path = path.to_string_lossy().into_owned();
                lab.run(&["plan", &path]).expect(0, &[]);
                planned += 1;
            }
        }
    }
    assert!(planned >= 2);
}
