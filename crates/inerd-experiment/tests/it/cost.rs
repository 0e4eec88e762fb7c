//! Predictions: plausible numbers, corrected by earlier runs, and what sharing saves.

use inerd_experiment::{Calibration, EmptyStore, Measured, Plan, Retry, Stage, Summary, decide_all};

use crate::common::{Fake, read};

fn plan(text: &str) -> Plan {
    Plan::build(&read(text).unwrap_or_else(|error| panic!("{:#?}", error.problems)), &Fake::default()).unwrap()
}

fn one<'a>(plan: &'a Plan, kind: &str) -> &'a Stage {
    plan.stages.iter().find(|stage| stage.kind.name() == kind).unwrap()
}

const SEVEN_MILLION: &str = r#"
    data.target = "a"
    coarse.enabled = false
    tokenizer = { datasets = "target", vocabulary = 8192 }
    model = { layers = 6, width = 256, context = 256 }
    [fine]
    epochs = 1
    patience = false
    valid = { metric = "none" }
"#;

#[test]
fn a_seven_million_model_trains_about_two_thousand_tokens_per_second() {
    let plan = plan(SEVEN_MILLION);
    let fine = one(&plan, "fine");
    let seconds = Calibration::default().cost(fine).seconds;
    let rate = fine.work.trained.most / seconds.middle;
    assert!((1_500.0..2_500.0).contains(&rate), "{rate}");
    assert!(seconds.low < seconds.middle && seconds.middle < seconds.high);
}

#[test]
fn memory_counts_weights_gradients_and_moments() {
    let plan = plan(SEVEN_MILLION);
    let cost = Calibration::default().cost(one(&plan, "fine"));
    // 6.9 M parameters × 16 bytes, and something for activations.
    assert!((110e6..2e9).contains(&cost.memory), "{}", cost.memory);
    assert!((27e6..28.5e6).contains(&cost.disk), "4 bytes per parameter: {}", cost.disk);
}

#[test]
fn patience_widens_the_interval_and_more_epochs_cost_more() {
    let of = |epochs: usize, patience: &str| {
        let text = SEVEN_MILLION
            .replace("epochs = 1", &format!("epochs = {epochs}"))
            .replace("patience = false", &format!("patience = {patience}"))
            .replace("metric = \"none\"", "metric = \"loss\"");
        Calibration::default().cost(one(&plan(&text), "fine")).seconds
    };
    assert!(of(10, "false").middle > 9.0 * of(1, "false").middle);
    let (patient, fixed) = (of(10, "2"), of(10, "false"));
    assert!(patient.low < fixed.low && patient.middle < fixed.middle);
}

#[test]
fn earlier_runs_correct_the_prediction_and_narrow_it() {
    let plan = plan(SEVEN_MILLION);
    let fine = one(&plan, "fine");
    let raw = Calibration::default().cost(fine).seconds;
    // This machine is 2.5 times slower than assumed, give or take a tenth.
    let runs: Vec<Measured> =
        [2.4, 2.5, 2.6, 2.45, 2.55, 2.5, 2.6, 2.4].iter().map(|f| Measured::new(fine, f * raw.middle)).collect();
    let learnt = Calibration::learn(&runs);
    let now = learnt.cost(fine).seconds;
    assert!((now.middle / raw.middle - 2.5).abs() < 0.05);
    assert!(now.low < 2.5 * raw.middle && 2.5 * raw.middle < now.high);
    assert!(now.high / now.low < 0.6 * raw.high / raw.low, "{now:?} {raw:?}");
    assert_eq!(learnt.runs(), 8);
    // Other kinds are untouched.
    let generate = one(&plan, "generate");
    assert_eq!(learnt.cost(generate), Calibration::default().cost(generate));
}

#[test]
fn nonsense_measurements_are_ignored() {
    let plan = plan(SEVEN_MILLION);
    let fine = one(&plan, "fine");
    let learnt = Calibration::learn(&[Measured::new(fine, 0.0), Measured::new(fine, f64::NAN)]);
    assert_eq!(learnt, Calibration::default());
}

#[test]
fn sharing_is_shown_against_the_cells_one_by_one() {
    let text = r#"
        data = { pool = ["a", "b", "c", "d"] }
        [experiment]
        seeds = { count = 1 }
        [grid]
        "data.target" = ["a", "b", "c", "d"]
        "generate.rules" = ["exact", "none"]
        [[arm]]
        name = "merged"
    "#;
    let plan = plan(text);
    let decisions = decide_all(&plan, &EmptyStore, Retry::All, &Plan::is_score);
    let summary = Summary::new(&plan, &decisions, &Calibration::default());
    let of = |kind: &str| summary.kinds[kind].seconds.middle;
    // One coarse-tuning instead of eight, four fine-tunings instead of eight.
    let expected = 8.0 * of("coarse") + 2.0 * of("fine") + of("generate");
    assert!((summary.one_by_one.middle / expected - 1.0).abs() < 0.05);
    assert!(summary.share() < 0.45, "{}", summary.share());
    assert_eq!(summary.to_run, summary.all);
}
