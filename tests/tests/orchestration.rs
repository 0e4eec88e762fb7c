//! Plans, runs and what is asked of them afterwards. The stories are bugs of other tools.

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Ended, Lab, TINY};

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout()).unwrap_or_else(|e| panic!("{e}: {}", ended.stdout()))
}

/// Events of all runs in a store.
fn events(lab: &Lab) -> Vec<Value> {
    let mut logs: Vec<_> = fs::read_dir(lab.path("store/runs")).unwrap().map(|e| e.unwrap().path()).collect();
    logs.sort();
    let text: String = logs.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["what"].clone()).collect()
}

fn finished(lab: &Lab) -> Vec<String> {
    let events = events(lab).into_iter().filter(|event| event["event"] == "stage-finished");
    events.map(|event| event["label"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_creates_nothing_and_is_drawn_as_text_json_svg_and_dot() {
    let lab = Lab::new(TINY);
    let text = lab.run(&["plan", "experiment.toml"]).expect(0, &[]).stdout();
    for part in ["2 results from 8 stages", "one by one", "at the peak", "run: not in the store", "to run"] {
        assert!(text.contains(part), "{text}");
    }
    let svg = lab.run(&["plan", "experiment.toml", "--format", "svg"]).expect(0, &[]).stdout();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    let dot = lab.run(&["plan", "experiment.toml", "--format", "dot"]).expect(0, &[]).stdout();
    assert!(dot.starts_with("digraph plan {"));
    let plan = json(&lab.run(&["plan", "experiment.toml", "--output", "json"]).expect(0, &[]));
    assert!(plan["summary"]["memory"].as_f64().unwrap() > 1e6 && plan["summary"]["disk"].as_f64().unwrap() > 1e3);
    let probed = lab.run(&["plan", "experiment.toml", "--probe", "--output", "json"]).expect(0, &[]);
    let fine = |plan: &Value| plan["summary"]["kinds"]["fine"]["seconds"].clone();
    assert_ne!(fine(&json(&probed))["middle"], fine(&plan)["middle"], "a probe measures this machine");
    assert!(!lab.path("store").exists(), "a plan wrote something");
}

#[test]
fn a_rehearsal_has_its_own_space_and_changes_no_result() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml", "--smoke"]).expect(0, &["0 failed"]);
    assert!(lab.path("reports/experiment-smoke/report.md").is_file());
    assert!(!lab.path("reports/experiment").exists());
    let plan = json(&lab.run(&["plan", "experiment.toml", "--output", "json"]).expect(0, &[]));
    assert!(plan["stages"].as_array().unwrap().iter().all(|stage| stage["decision"]["action"] == "run"));
}

#[test]
fn an_arm_that_trains_nothing_answers_with_the_weights_that_training_begins_with() {
    let untrained =
        TINY.replace("\"generate.rules\" = \"exact\" }", "\"generate.rules\" = \"exact\", \"fine.enabled\" = false }");
    let lab = Lab::new(&untrained);
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    assert_eq!(lab.stored("scores.json").len(), 2);
}

/// The file was edited while the sweep ran (hydra composes lazily): nothing changes.
#[test]
fn editing_the_file_while_it_runs_changes_nothing() {
    let lab = Lab::new(TINY);
    let planned = json(&lab.run(&["plan", "experiment.toml", "--output", "json"]).expect(0, &[]));
    let mut child = lab.start(&["run", "experiment.toml"]);
    let begun = Instant::now();
    while !lab.path("store/runs").exists() && begun.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::write(lab.path("experiment.toml"), TINY.replace("epochs   = 2", "epochs   = 1")).unwrap();
    assert!(child.wait().unwrap().success());
    let mut ids: Vec<&str> = planned["stages"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(lab.stored("MANIFEST.json").keys().map(String::as_str).collect::<Vec<_>>(), ids);
    let frozen: Vec<_> = fs::read_dir(lab.path("store/plans")).unwrap().collect();
    assert_eq!(frozen.len(), 1);
}

/// A failed arm and exit code 0 (axolotl): the code and the table both say so.
#[test]
fn a_failed_arm_is_told_by_the_exit_code_and_by_the_table() {
    // No sentence fits a context of twelve tokens.
    let failing = "\"generate.rules\" = \"exact\", \"model.context\" = 12 }";
    let lab = Lab::new(&TINY.replace("\"generate.rules\" = \"exact\" }", failing));
    let ended = lab.run(&["run", "experiment.toml", "--output", "json"]).expect(1, &[]);
    let run = json(&ended);
    assert!(run["failed"].as_u64().unwrap() >= 2, "the training and what waits for it: {run}");
    let report = fs::read_to_string(lab.path("reports/experiment/report.md")).unwrap();
    assert!(report.contains("0/1"), "{report}");
    assert_eq!(lab.stored("scores.json").len(), 1, "the other arm is done");
    let status = lab.run(&["status", "experiment.toml"]).expect(0, &[]).stdout();
    assert!(status.contains("1 of 2 results") && status.contains("failed (bad data)"), "{status}");
    // A further run tries again, alone where that is asked, and says the same.
    lab.run(&["run", "experiment.toml", "--failed"]).expect(1, &["failed", "(bad data)"]);
}

/// The same run in two experiments broke the queue (dvc): it is executed once, and both reports see it. And two
/// commands at once on one store.
#[test]
fn two_experiments_at_once_share_what_is_equal_and_work_it_once() {
    let lab = Lab::new(TINY);
    fs::write(
        lab.path("other.toml"),
        TINY.replace("\"generate.rules\" = \"exact\"", "\"generate.rules\" = \"words\"")
            .replace("\"words\"", "\"exact\"")
            .replace("name = \"masked\"", "name = \"bound\""),
    )
    .unwrap();
    let mut runs = [lab.start(&["run", "experiment.toml"]), lab.start(&["run", "other.toml", "--workers", "2"])];
    for run in &mut runs {
        assert!(run.wait().unwrap().success());
    }
    let mut once = finished(&lab);
    once.sort();
    let all = once.len();
    once.dedup();
    assert_eq!((once.len(), all), (8, 8), "{once:?}");
    for name in ["experiment", "other"] {
        let report = fs::read_to_string(lab.path(&format!("reports/{name}/report.md"))).unwrap();
        assert!(report.contains("free"), "{report}");
    }
    let verified = lab.run(&["status", "--verify"]).expect(0, &[]).stdout();
    assert!(verified.contains("8 artefacts, 0 damaged"), "{verified}");
}

/// Resume after k of n seeds (ray): exactly n − k are trained.
#[test]
fn more_seeds_train_only_the_new_ones() {
    let lab = Lab::new(TINY);
    assert_eq!(lab.run(&["run", "experiment.toml", "--only", "nothing-is-called-this"]).code(), 2);
    let options = ["run", "experiment.toml", "--only", "fine"];
    lab.run(&options).expect(0, &["0 failed"]);
    lab.run(&[&options[..], &["--seeds", "+2"]].concat()).expect(0, &["0 failed"]);
    let fine: Vec<String> = finished(&lab).into_iter().filter(|label| label.starts_with("fine")).collect();
    assert_eq!(fine, ["fine synth-news seed 1", "fine synth-news seed 2", "fine synth-news seed 3"]);
    // One arm alone.
    lab.run(&["run", "experiment.toml", "--only", "masked"]).expect(0, &["0 failed"]);
    assert_eq!(lab.stored("scores.json").len(), 1);
}

#[test]
fn replicates_are_added_until_the_intervals_are_narrow_or_no_more_are_allowed() {
    let lab = Lab::new(&TINY.replace("epochs   = 2", "epochs   = 1"));
    let sure = lab.run(&["run", "experiment.toml", "--narrow", "1000", "--output", "json"]).expect(0, &[]);
    assert_eq!(json(&sure)["seeds"], 3, "three replicates make an interval, and any is narrower than 1000 points");
    let wide = lab.run(&["run", "experiment.toml", "--narrow", "0", "--most-seeds", "2", "--output", "json"]);
    assert_eq!(json(&wide.expect(0, &[]))["seeds"], 2);
    let poor = lab.run(&["run", "experiment.toml", "--narrow", "0", "--budget", "0s", "--output", "json"]);
    assert_eq!(json(&poor.expect(0, &[]))["seeds"], 1);
}

#[test]
fn every_question_about_a_run_is_answered_for_people_and_for_programs() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml"]).expect(0, &["predicted", "took"]);
    let status = lab.run(&["status", "experiment.toml"]).expect(0, &[]).stdout();
    assert!(status.contains("2 of 2 results") && status.contains("one by one"), "{status}");
    let runs = json(&lab.run(&["status", "--output", "json"]).expect(0, &[]));
    assert_eq!(runs["runs"][0]["experiment"], "experiment");

    let plan = json(&lab.run(&["plan", "experiment.toml", "--output", "json"]).expect(0, &[]));
    let id = |kind: &str, n: usize| {
        let stages = plan["stages"].as_array().unwrap().iter().filter(|stage| stage["kind"] == kind);
        stages.map(|stage| stage["id"].as_str().unwrap()).nth(n).unwrap().to_owned()
    };
    let fine = id("fine", 0);
    // Short prefixes do.
    let shown = lab.run(&["show", &fine[..10]]).expect(0, &[]).stdout();
    for part in ["fine synth-news seed 1", "done", "commit", "predicted", "model/model.safetensors", "\"lr\"", "rustc"]
    {
        assert!(shown.contains(part), "`{part}` is not in {shown}");
    }
    let manifest = json(&lab.run(&["show", &fine, "--output", "json"]).expect(0, &[]));
    assert_eq!(manifest["manifest"]["fingerprint"], fine.as_str());
    assert_eq!(lab.run(&["show", ""]).code(), 2);
    assert_eq!(lab.run(&["show", "zz"]).code(), 2);

    let told = lab.run(&["logs"]).expect(0, &[]).stdout();
    assert!(told.contains("begin") && told.contains("fine synth-news seed 1") && told.contains("finished"), "{told}");
    // A run that has ended is followed to its end.
    lab.run(&["logs", "-f"]).expect(0, &[]);
    let of_stage = lab.run(&["logs", &fine[..10], "--output", "json"]).expect(0, &[]).stdout();
    assert_eq!(of_stage.lines().count(), 2, "{of_stage}");

    let changed = ["explain", &id("score", 0), "experiment.toml"];
    let why = lab.run(&changed).expect(0, &[]).stdout();
    assert!(why.contains("skip: done") && why.contains("generate.rules") | why.contains("generations"), "{why}");
    // A changed setting: the nearest stage in the store tells what is new about it.
    let new = json(&lab.run(&["plan", "experiment.toml", "--set", "fine.lr=0.5", "--output", "json"]).expect(0, &[]));
    let new_fine = new["stages"].as_array().unwrap().iter().find(|s| s["kind"] == "fine").unwrap()["id"].clone();
    let arguments = ["explain", &new_fine.as_str().unwrap()[..12], "experiment.toml", "--set", "fine.lr=0.5"];
    let why = lab.run(&arguments).expect(0, &[]).stdout();
    assert!(why.contains("run: not in the store") && why.contains("body.settings.lr: 0.001 → 0.5"), "{why}");

    let differ = lab.run(&["diff", &id("score", 0), &id("score", 1)]).expect(0, &[]).stdout();
    assert!(differ.contains("settings.rules") && differ.contains("scores"), "{differ}");
    let same = json(&lab.run(&["diff", &fine, &fine, "--output", "json"]).expect(0, &[]));
    assert_eq!(same["settings"], Value::Array(Vec::new()));

    let schema = json(&lab.run(&["schema"]).expect(0, &[]));
    assert_eq!(schema["title"], "An inerd experiment");
}

#[test]
fn rubbish_is_shown_first_and_results_outlive_it() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml"]).expect(0, &[]);
    fs::create_dir(lab.path("store/staging/0123456789ab.host.1.0")).unwrap();
    fs::write(lab.path("store/staging/0123456789ab.host.1.0/half"), "half").unwrap();
    let before = lab.stored("MANIFEST.json");
    let plan = lab.run(&["gc", "--dry-run", "--weights"]).expect(0, &[]).stdout();
    assert!(plan.contains("left by a run that was killed") && plan.contains("its answers are all there"), "{plan}");
    assert_eq!(lab.stored("MANIFEST.json"), before, "a dry run removed something");
    lab.run(&["gc", "--weights"]).expect(0, &["left by a run that was killed"]);
    assert_eq!(lab.stored("MANIFEST.json").len(), before.len() - 1, "one trained model is gone");
    assert_eq!(fs::read_dir(lab.path("store/staging")).unwrap().count(), 0);
    // The results need no weights.
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 stages done"]);
    // What no kept experiment needs goes.
    fs::write(lab.path("free.toml"), TINY.replace("seeds      =", "arms = [\"free\"]\nseeds      =")).unwrap();
    lab.run(&["gc", "--keep", "free.toml"]).expect(0, &["no kept experiment needs it"]);
    assert_eq!(lab.stored("scores.json").len(), 1);
    assert!(
        json(&lab.run(&["status", "--verify", "--output", "json"]).expect(0, &[]))["damaged"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_bundle_is_scored_again_elsewhere_and_gives_the_same_tables() {
    let lab = Lab::new("extends = \"base/tiny.toml\"\n");
    fs::create_dir(lab.path("base")).unwrap();
    fs::write(lab.path("base/tiny.toml"), TINY).unwrap();
    lab.run(&["run", "experiment.toml", "--set", "data.max_test=9"]).expect(0, &["0 failed"]);
    lab.run(&["bundle", "experiment.toml", "--set", "data.max_test=9", "--to", "review.tar.gz"]).expect(0, &[]);
    let table = |folder: &Path| fs::read_to_string(folder.join("report.md")).unwrap();
    let expected = table(&lab.path("reports/experiment"));

    // Elsewhere there is nothing but the archive.
    let other = Lab::new("");
    fs::copy(lab.path("review.tar.gz"), other.path("review.tar.gz")).unwrap();
    let again = json(&other.run(&["rescore", "review.tar.gz", "--output", "json"]).expect(0, &[]));
    assert_eq!((&again["scores"], &again["deviations"]), (&Value::from(2), &Value::Array(Vec::new())));
    assert_eq!(table(&other.path("reports/experiment")), expected);
    assert!(!other.path("store").exists());
    // Equal content makes equal archives.
    lab.run(&["bundle", "experiment.toml", "--set", "data.max_test=9", "--to", "again.tar.gz"]).expect(0, &[]);
    assert!(fs::read(lab.path("review.tar.gz")).unwrap() == fs::read(lab.path("again.tar.gz")).unwrap());
    // A bundle that was cut off is told.
    let whole = fs::read(lab.path("review.tar.gz")).unwrap();
    fs::write(other.path("review.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    other.run(&["rescore", "review.tar.gz"]).expect(3, &["no bundle"]);
}

#[test]
fn a_pre_emption_signal_leaves_its_own_code_and_the_next_run_goes_on() {
    let lab = Lab::new(&TINY.replace("epochs   = 2", "epochs   = 40"));
    let mut child = lab.start(&["run", "experiment.toml"]);
    let checkpoints = lab.path("store/checkpoints");
    let begun = Instant::now();
    while fs::read_dir(&checkpoints).map_or(0, Iterator::count) == 0 && begun.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::process::Command::new("kill").args(["-USR1", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(fs::read_dir(lab.path("store/claims")).unwrap().count(), 0);
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
}
