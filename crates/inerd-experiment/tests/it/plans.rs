//! Plans: sharing, order, lineage, freezing, pictures, size.

use std::collections::{BTreeMap, BTreeSet};

use inerd_experiment::{
    Calibration, Decision, EmptyStore, Plan, PlanError, PlanView, Retry, StageKind, Weights, decide_all,
};

use crate::common::{Fake, read, read_with};

fn plan(text: &str) -> Plan {
    let experiment = read(text).unwrap_or_else(|error| panic!("{:#?}", error.problems));
    Plan::build(&experiment, &Fake::default()).unwrap()
}

fn count(plan: &Plan, kind: &str) -> usize {
    plan.stages.iter().filter(|stage| stage.kind.name() == kind).count()
}

const TWO: &str = r#"
    [data]
    pool = ["a", "b"]
    [experiment]
    seeds = { count = 2 }
    [grid]
    "data.target" = ["a", "b"]
    [[arm]]
    name = "individual"
    set = { "coarse.datasets" = "target" }
    [[arm]]
    name = "merged"
    [[arm]]
    name = "leave-one-out"
    set = { "coarse.datasets" = "others" }
    [[arm]]
    name = "none"
    set = { "coarse.enabled" = false }
"#;

#[test]
fn parents_come_first_and_exist() {
    let plan = plan(TWO);
    let mut seen = BTreeSet::new();
    for stage in &plan.stages {
        assert!(stage.parents.iter().all(|parent| seen.contains(parent)), "{}", stage.label);
        assert!(seen.insert(stage.id), "{} twice", stage.label);
    }
    assert!(plan.cells.iter().all(|cell| seen.contains(&cell.score)));
}

#[test]
fn fine_tunings_share_a_coarse_tuning() {
    let plan = plan(TWO);
    // 4 arms × 2 targets × 2 seeds.
    assert_eq!(plan.cells.len(), 16);
    // Per seed: a alone, b alone, a+b. Leave-one-out of a is b alone, but it is tested on a: whatever stands in
    // the test split of a is dropped from it, so it is a corpus of its own.
    assert_eq!(count(&plan, "coarse"), 2 * 5);
    // The arm without coarse-tuning trains on each dataset from scratch, which is what "individual" does first.
    assert_eq!(count(&plan, "fine"), 16 - 4);
}

#[test]
fn decoding_arms_share_the_trained_model() {
    let text = r#"
        [data]
        pool = ["a"]
        target = "a"
        [[arm]]
        name = "free"
        set = { "generate.rules" = "none" }
        [[arm]]
        name = "exact"
        [[arm]]
        name = "beam"
        set = { "generate.strategy" = "beam" }
    "#;
    let plan = plan(text);
    assert_eq!((count(&plan, "fine"), count(&plan, "generate"), count(&plan, "score")), (3, 9, 9));
    for seed in 1..=3 {
        let lineages: BTreeSet<_> = plan.cells.iter().filter(|c| c.seed == seed).map(|c| c.lineage.clone()).collect();
        assert_eq!(lineages.len(), 1);
    }
}

#[test]
fn scoring_arms_share_the_generations() {
    let text =
        "data.target = \"a\"\ndata.pool = \"a\"\n[grid]\n\"score.conventions\" = [\"span\", [\"span\", \"authors\"]]\n";
    let plan = plan(text);
    assert_eq!((count(&plan, "generate"), count(&plan, "score")), (3, 6));
}

#[test]
fn the_same_run_in_two_experiments_is_one_stage() {
    let one = plan(TWO);
    let other = plan(&TWO.replace("seeds = { count = 2 }", "seeds = { count = 1 }\nquestion = \"Another?\""));
    let ids: BTreeSet<_> = one.stages.iter().map(|stage| stage.id).collect();
    assert!(other.stages.iter().all(|stage| ids.contains(&stage.id)));
}

#[test]
fn more_seeds_add_stages_and_change_none() {
    let mut experiment = read(TWO).unwrap();
    let before = Plan::build(&experiment, &Fake::default()).unwrap();
    experiment.change_seeds("+3").unwrap();
    let after = Plan::build(&experiment, &Fake::default()).unwrap();
    let ids: BTreeSet<_> = after.stages.iter().map(|stage| stage.id).collect();
    assert!(before.stages.iter().all(|stage| ids.contains(&stage.id)));
    // Exactly the three new replicates are trained (resume after k of n seeds).
    assert_eq!(count(&after, "coarse") - count(&before, "coarse"), 3 * 5);
    let store: BTreeMap<_, _> = before.stages.iter().map(|s| (s.id, inerd_experiment::State::Published)).collect();
    let decisions = decide_all(&after, &store, Retry::All, &Plan::is_score);
    let trained = after.stages.iter().zip(&decisions).filter(|(stage, d)| d.works() && stage.kind.name() == "fine");
    assert_eq!(trained.count(), 3 * 6);
}

#[test]
fn independent_replicates_can_be_bought() {
    let shared = plan(TWO);
    let own = Plan::build(&read_with(TWO, &[("coarse.share", "never")]).unwrap(), &Fake::default()).unwrap();
    // Three arms with coarse-tuning × 2 targets × 2 seeds.
    assert_eq!((count(&shared, "coarse"), count(&own, "coarse")), (10, 12));
    let roots: BTreeSet<_> = own.cells.iter().filter(|c| c.arm != "none").map(|cell| cell.lineage[0]).collect();
    assert_eq!(roots.len(), 12, "no two cells share a training stage");
}

#[test]
fn a_fixed_coarse_seed_is_shared_by_replicates_and_the_lineage_says_so() {
    let plan = Plan::build(&read_with(TWO, &[("coarse.seed", "1")]).unwrap(), &Fake::default()).unwrap();
    assert_eq!(count(&plan, "coarse"), 5);
    let merged: BTreeSet<_> = plan.cells.iter().filter(|c| c.arm == "merged").map(|cell| cell.lineage[0]).collect();
    assert_eq!(merged.len(), 1);
}

#[test]
fn test_draws_are_the_same_for_all_arms_and_seeds() {
    let text = TWO.replace("pool = [\"a\", \"b\"]", "pool = [\"a\", \"b\"]\nmax_test = 10");
    let plan = plan(&text);
    let held = plan.stages.iter().filter(|stage| stage.label.ends_with(" test") && stage.kind.name() == "corpus");
    assert_eq!(held.count(), 2, "one per dataset");
}

#[test]
fn every_stage_has_its_place_in_the_chain() {
    let text = r#"
        [data]
        pool = ["a", "b"]
        target = "a"
        [experiment]
        seeds = { count = 1 }
        [pretrain]
        enabled = true
        corpora = "novels"
    "#;
    let plan = plan(text);
    let kinds: Vec<_> = plan.stages.iter().map(|stage| stage.kind.name()).collect();
    assert_eq!(kinds, ["tokenizer", "pretrain", "corpus", "coarse", "corpus", "fine", "corpus", "generate", "score"]);
    assert_eq!(plan.cells[0].lineage.len(), 3);
    for stage in &plan.stages {
        if let StageKind::Fine(fine) = &stage.kind {
            assert_eq!(fine.weights, Weights::Stage(plan.cells[0].lineage[1]));
        }
    }
}

#[test]
fn an_untrained_model_can_be_decoded() {
    let text = "data.target = \"a\"\ncoarse.enabled = false\nfine.enabled = false\ntokenizer.kind = \"model\"\nmodel = { kind = \"pretrained\", path = \"base\" }\n";
    let plan = plan(text);
    assert!(plan.cells[0].lineage.is_empty());
    // Greedy decoding of a given model draws nothing: all seeds are the same stage.
    assert_eq!(count(&plan, "generate"), 1);
    assert_eq!(plan.cells.len(), 3);
}

#[test]
fn adapters_are_automatic_above_three_billion_parameters() {
    let text = |path: &str| {
        format!(
            "data.target = \"a\"\ncoarse.enabled = false\ntokenizer.kind = \"model\"\nmodel = {{ kind = \"pretrained\", path = \"{path}\" }}\n"
        )
    };
    let mode = |plan: &Plan| {
        plan.stages.iter().find_map(|stage| match &stage.kind {
            StageKind::Fine(fine) => Some(fine.settings.lora.mode),
            _ => None,
        })
    };
    assert_eq!(mode(&plan(&text("llama-7b"))), Some(inerd_experiment::LoraMode::On));
    assert_eq!(mode(&plan(&text("gpt2"))), Some(inerd_experiment::LoraMode::Off));
}

#[test]
fn a_frozen_plan_is_read_back_equal() {
    let plan = plan(TWO);
    assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan);
    let newer = plan.to_json().replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(Plan::from_json(&newer), Err(PlanError::Format { found: 2 }));
    assert!(matches!(Plan::from_json("{"), Err(PlanError::Unreadable(_))));
    for stage in &Plan::from_json(&plan.to_json()).unwrap().stages {
        assert_eq!(stage.kind.fingerprint(plan.space), stage.id, "a stage read back still has its identity");
    }
}

#[test]
fn unknown_inputs_are_all_named_at_once() {
    let world = Fake { unknown: vec!["a".into(), "b".into()], ..Fake::default() };
    let Err(PlanError::UnknownInputs { unknown, .. }) = Plan::build(&read(TWO).unwrap(), &world) else {
        panic!("planned without its data");
    };
    assert_eq!(unknown.len(), 2);
}

#[test]
fn short_prefixes_name_stages() {
    let plan = plan(TWO);
    let digits = plan.prefix_length();
    for stage in &plan.stages {
        let prefix: String = stage.id.to_string().chars().take(digits).collect();
        assert_eq!(plan.find(&prefix).unwrap().id, stage.id);
    }
    assert!(matches!(plan.find(""), Err(PlanError::Ambiguous { .. })));
    assert!(matches!(plan.find("zz"), Err(PlanError::Ambiguous { candidates, .. }) if candidates.is_empty()));
}

fn view(plan: &Plan, show: impl FnOnce(PlanView<'_>) -> String) -> String {
    let decisions: Vec<Decision> = decide_all(plan, &EmptyStore, Retry::All, &Plan::is_score);
    show(PlanView { plan, decisions: &decisions, calibration: &Calibration::default() })
}

const SMALL: &str = "data = { pool = [\"a\", \"b\"], target = \"a\" }\n[experiment]\nseeds = { count = 1 }\n[grid]\n\"generate.rules\" = [\"exact\", \"none\"]\n";

/// Ids are left out: they change with every version of a stage, what the reader sees doesn't.
fn snapshot(name: &str, text: &str) {
    let ids = [(r"\b[0-9a-f]{64}\b", "[id]"), ("[0-9a-f]{8} ·", "[id] ·"), (r"(?m)^[0-9a-f]{6,}  ", "[id]  ")];
    insta::with_settings!({ filters => ids }, { insta::assert_snapshot!(name, text) });
}

#[test]
fn text_of_a_plan() {
    snapshot("text_of_a_plan", &view(&plan(SMALL), |view| view.text(100)));
}

#[test]
fn dot_of_a_plan() {
    snapshot("dot_of_a_plan", &view(&plan(SMALL), |view| view.dot()));
}

#[test]
fn svg_of_a_plan() {
    snapshot("svg_of_a_plan", &view(&plan(SMALL), |view| view.svg()));
}

#[test]
fn json_of_a_plan_has_all_stages_with_reasons() {
    let plan = plan(SMALL);
    let json: serde_json::Value = serde_json::from_str(&view(&plan, |view| view.json().to_string())).unwrap();
    let stages = json["stages"].as_array().unwrap();
    assert_eq!(stages.len(), plan.stages.len());
    assert!(stages.iter().all(|stage| stage["why"] == "run: not in the store"));
    assert!(json["summary"]["to_run"]["middle"].as_f64().unwrap() > 0.0);
}

/// 10,000 stages and more. In an optimised build: well under a second and 300 MB; the limit here is for the slower
/// profile of tests on a busy machine.
#[test]
fn large_plans_are_quick() {
    let lrs: Vec<String> = (1..=400).map(|n| format!("{n}e-5")).collect();
    let text = format!(
        "data = {{ pool = [\"a\", \"b\"] }}\n[experiment]\nseeds = {{ count = 3 }}\n[grid]\n\"data.target\" = [\"a\", \"b\"]\n\"fine.lr\" = [{}]\n\"generate.rules\" = [\"exact\", \"none\"]\n",
        lrs.join(", ")
    );
    let start = std::time::Instant::now();
    let plan = plan(&text);
    let decisions = decide_all(&plan, &EmptyStore, Retry::All, &Plan::is_score);
    let shown = PlanView { plan: &plan, decisions: &decisions, calibration: &Calibration::default() };
    assert!(shown.text(20).contains("more stages"));
    assert!(shown.svg().len() < 100_000, "many stages are drawn as one box per kind");
    let elapsed = start.elapsed();
    assert!(plan.stages.len() > 10_000);
    assert!(elapsed.as_secs_f64() < 10.0, "{} stages took {elapsed:?}", plan.stages.len());
}

const SIZES: &str = r#"
    [data]
    pool = ["a", "b"]
    target = "a"
    [experiment]
    seeds = { count = 1 }
    [coarse]
    epochs = 1
    order = "nested"
    schedule = "wsd"
    decay = 0.2
    warmup_steps = 10
    patience = false
    valid = { metric = "loss" }
    [grid]
    "coarse.subset.fraction" = [0.1, 0.2, 0.5, 1.0]
"#;

fn chain(plan: &Plan) -> Vec<Option<f64>> {
    let mut coarse: Vec<_> = plan.stages.iter().filter(|stage| stage.kind.name() == "coarse").collect();
    coarse.sort_by(|a, b| a.work.sentences.total_cmp(&b.work.sentences));
    for pair in coarse.windows(2) {
        assert!(pair[1].continues.is_none_or(|id| id == pair[0].id), "the next smaller one");
    }
    coarse.iter().map(|stage| stage.continues.map(|_| stage.work.reused / stage.work.trained.most)).collect()
}

#[test]
fn nested_sizes_continue_the_next_smaller_one() {
    // Eight tenths of the smaller training come before its decay.
    let found = chain(&plan(SIZES));
    let expected = [None, Some(0.8 * 0.1 / 0.2), Some(0.8 * 0.2 / 0.5), Some(0.8 * 0.5)];
    assert_eq!(found.len(), 4, "the whole is the largest of the nested sizes");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.is_some(), expected.is_some());
        assert!((found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-9, "{found:?} {expected:?}");
    }
    let constant = chain(&plan(&SIZES.replace("\"wsd\"", "\"constant\"")));
    assert!((constant[2].unwrap() - 0.4).abs() < 1e-9);
}

#[test]
fn sizes_share_nothing_that_is_not_provably_equal() {
    for (from, to) in [
        ("\"wsd\"", "\"linear\""),
        ("\"wsd\"", "\"cosine\""),
        ("order = \"nested\"\n", ""),
        ("warmup_steps = 10", "warmup = 0.1"),
        ("schedule = ", "max_steps = 7\n    schedule = "),
        ("schedule = ", "co_regularization = true\n    schedule = "),
        ("patience = false", "patience = 2"),
        ("epochs = 1\n", "epochs = 1\n    subset = { stratified = true }\n"),
    ] {
        assert!(chain(&plan(&SIZES.replace(from, to))).iter().all(Option::is_none), "{to}");
    }
}

#[test]
fn a_shortcut_changes_no_identity() {
    let all = plan(SIZES);
    let alone = plan(&SIZES.replace("[0.1, 0.2, 0.5, 1.0]", "[0.5]"));
    for stage in &alone.stages {
        assert!(all.stage(stage.id).is_some(), "{}", stage.label);
    }
}

#[test]
fn keys_that_came_later_leave_older_identities_alone() {
    let text = "data = { pool = [\"a\"], target = \"a\" }\n";
    let plan = plan(text);
    let fine = plan.stages.iter().find(|stage| stage.kind.name() == "fine").unwrap();
    let identity = fine.kind.identity();
    assert!(identity["body"]["settings"].get("order").is_none());
    let nested = read_with(text, &[("fine.order", "nested"), ("fine.epochs", "1")]).unwrap();
    let nested = Plan::build(&nested, &Fake::default()).unwrap();
    let fine = nested.stages.iter().find(|stage| stage.kind.name() == "fine").unwrap();
    assert_eq!(fine.kind.identity()["body"]["settings"]["order"], "nested");
}
