//! What is part of a stage's identity, and what isn't.

use std::collections::BTreeSet;

use inerd_experiment::{
    Backend, Experiment, Field, Fingerprint, Kind, Plan, Point, Settings, Table, canonical_json, differences,
};
use serde_json::Value;

use crate::common::{Fake, read, read_with};

fn ids(experiment: &Experiment) -> BTreeSet<Fingerprint> {
    let world = Fake::default();
    Plan::build(experiment, &world).unwrap().stages.iter().map(|stage| stage.id).collect()
}

/// Files whose settings are all in use: every key changes something in at least one of them.
const RICH: &[&str] = &[
    r#"
        [data]
        pool = ["a", "b", "c"]
        target = "a"
        max_test = 10
        max_valid = 10
        merge = { types = "keep", map = { X = "Y" }, weights = { a = 2.0 }, cap = 100, temperature = 2.0 }
        [tokenizer]
        datasets = "all"
        corpora = "novels"
        [pretrain]
        enabled = true
        corpora = "novels"
        max_steps = 10
        micro_batch = 4
        length = 64
        [coarse]
        datasets = ["a", "b", "c"]
        max_datasets = 2
        subset = { fraction = 0.5, max_sentences = 50, shots = 5, seed = 7 }
        max_steps = 100
        micro_batch = 8
        max_length = 128
        schedule = "wsd"
        loss = "masked"
        lora = { mode = "on", targets = "attn" }
        co_regularization = true
        pl_marker = { negatives = 2.0 }
        seed = 3
        [fine]
        datasets = ["a", "b"]
        max_datasets = 1
        subset = { fraction = 0.5 }
        epochs = 1
        schedule = "wsd"
        loss = "masked"
        lora = { mode = "on" }
        [generate]
        rules = ["types", "max-span", "max-entities"]
        strategy = "beam"
        n_best = 2
    "#,
    r#"
        data = { target = "a", pool = ["a"] }
        coarse = { enabled = false }
        [tokenizer]
        kind = "file"
        path = "one.json"
        [generate]
        strategy = "sample"
        seed = 3
    "#,
    r#"
        data = { target = "a", pool = ["a"] }
        fine = { co_regularization = true }
        tokenizer = { kind = "model" }
        model = { kind = "pretrained", path = "base" }
    "#,
];

/// Another value that the key accepts.
fn other(field: &Field, kind: &Kind, value: &Value) -> Value {
    match kind {
        Kind::Bool => Value::Bool(value != &Value::Bool(true)),
        Kind::Integer { min, max } => {
            let now = value.as_i64().unwrap_or(*min);
            Value::from(if now < *max { now + 1 } else { *min })
        }
        Kind::Number { min, max } => {
            let now = value.as_f64().unwrap_or(0.25);
            let candidates = [now * 0.5, now + 0.125, now - 0.125];
            let fits = |x: &&f64| **x >= *min && **x <= *max && (**x - now).abs() > 1e-12;
            Value::from(*candidates.iter().find(fits).unwrap())
        }
        Kind::Text => match field.name {
            "kind" => unreachable!(),
            _ => Value::from(format!("{}x", value.as_str().unwrap_or("a"))),
        },
        Kind::Choice(choices) => {
            let word = choices.iter().rev().find(|choice| Some(choice.word) != value.as_str()).unwrap().word;
            Value::from(word)
        }
        Kind::List(item) | Kind::OneOrMany(item) => {
            let mut items = value.as_array().cloned().unwrap_or_default();
            match item {
                Kind::Choice(choices) => items = vec![Value::from(choices[2].word)],
                _ => items.push(Value::from("new")),
            }
            Value::Array(items)
        }
        Kind::Map(item) => {
            let mut map = value.as_object().cloned().unwrap_or_default();
            let own = match item {
                Kind::Number { .. } => Value::from(3.5),
                Kind::Text => Value::from("new"),
                _ => serde_json::json!({}),
            };
            map.insert("b".into(), own);
            Value::Object(map)
        }
        Kind::Optional(inner) => {
            if value.is_null() {
                match inner {
                    Kind::Table(_) => serde_json::json!({}),
                    Kind::Integer { min, .. } => Value::from(min + 5),
                    Kind::Number { .. } => Value::from(0.75),
                    inner => other(field, inner, value),
                }
            } else {
                other(field, inner, value)
            }
        }
        Kind::Table(_) | Kind::Assignments | Kind::Axes => unreachable!("no leaf"),
    }
}

/// Every leaf as dotted path, with whether it or a table above it is inert.
fn leaves(
    prefix: &[String],
    table: &'static Table,
    value: &Value,
    inert: bool,
    out: &mut Vec<(Vec<String>, Value, bool)>,
) {
    for field in table.fields {
        let mut path = prefix.to_vec();
        path.push(field.name.to_owned());
        let own = value.get(field.name).unwrap_or(&Value::Null);
        let inner = match field.kind {
            Kind::Optional(inner) => *inner,
            kind => kind,
        };
        match inner {
            Kind::Table(below) if !own.is_null() => leaves(&path, below, own, inert || field.inert, out),
            _ => out.push((path, other(field, &field.kind, own), inert || field.inert)),
        }
    }
}

fn with(settings: &Value, path: &[String], new: &Value) -> Option<Settings> {
    let mut changed = settings.clone();
    let mut at = &mut changed;
    for key in path {
        at = &mut at[key.as_str()];
    }
    *at = new.clone();
    serde_json::from_value(changed).ok()
}

#[test]
fn a_cache_key_misses_no_field() {
    let mut changes: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut inert_keys: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut all: BTreeSet<Vec<String>> = BTreeSet::new();
    for text in RICH {
        let experiment = read(text).unwrap_or_else(|e| panic!("{:#?}", e.problems));
        let before = ids(&experiment);
        let settings = serde_json::to_value(&experiment.arms[0].points[0].settings).unwrap();
        let mut found = Vec::new();
        leaves(&[], &Settings::TABLE, &settings, false, &mut found);
        for (path, new, inert) in found {
            all.insert(path.clone());
            let Some(changed) = with(&settings, &path, &new) else { panic!("{path:?} = {new}") };
            let mut perturbed = experiment.clone();
            perturbed.arms[0].points = vec![Point { axes: Vec::new(), settings: changed }];
            if inert {
                inert_keys.insert(path.clone());
                assert_eq!(ids(&perturbed), before, "{path:?} is declared inert");
            } else if ids(&perturbed) != before {
                changes.insert(path);
            }
        }
    }
    let missed: Vec<_> = all.iter().filter(|path| !inert_keys.contains(*path) && !changes.contains(*path)).collect();
    assert!(missed.is_empty(), "part of no identity and not declared inert: {missed:#?}");
    assert!(changes.len() > 120, "{}", changes.len());
}

#[test]
fn the_seed_is_part_of_every_training_stage() {
    let text = "[data]\npool = [\"a\"]\ntarget = \"a\"\n";
    let plan = Plan::build(&read(text).unwrap(), &Fake::default()).unwrap();
    for kind in ["coarse", "fine", "generate", "score"] {
        let of_kind = plan.stages.iter().filter(|stage| stage.kind.name() == kind).count();
        assert_eq!(of_kind, 3, "{kind}: one per seed");
    }
}

/// Finds the same model under every path.
struct Same;
impl inerd_experiment::Inputs for Same {
    fn dataset(&self, name: &str) -> Result<inerd_experiment::Dataset, inerd_experiment::InputError> {
        Fake::default().dataset(name)
    }
    fn model(&self, _: &str) -> Result<inerd_experiment::BaseModel, inerd_experiment::InputError> {
        Fake::default().model("one and the same")
    }
    fn corpus(&self, name: &str) -> Result<inerd_experiment::Text, inerd_experiment::InputError> {
        Fake::default().corpus(name)
    }
    fn file(&self, path: &str) -> Result<Fingerprint, inerd_experiment::InputError> {
        Fake::default().file(path)
    }
}

#[test]
fn content_counts_and_paths_do_not() {
    let text = "[data]\npool = [\"a\", \"b\"]\ntarget = \"a\"\n";
    let experiment = read(text).unwrap();
    let plan = |world: &Fake| Plan::build(&experiment, world).unwrap();
    let before = plan(&Fake::default());
    let changed = plan(&Fake { changed: vec!["a".into()], ..Fake::default() });
    assert!(before.stages.iter().all(|stage| changed.stage(stage.id).is_none()), "every stage reads dataset a");

    let of = |path: &str| {
        let text = format!(
            "data.target = \"a\"\ncoarse.enabled = false\ntokenizer = {{ kind = \"model\" }}\n[model]\nkind = \"pretrained\"\npath = \"{path}\"\n"
        );
        read(&text).unwrap()
    };
    let here = Plan::build(&of("models/gpt2"), &Same).unwrap();
    let there = Plan::build(&of("/elsewhere/gpt2"), &Same).unwrap();
    assert_eq!(here.fingerprint(), there.fingerprint());
}

#[test]
fn the_class_of_the_numerics_counts() {
    let experiment = read("[data]\npool = [\"a\"]\ntarget = \"a\"\n").unwrap();
    let cpu = Plan::build(&experiment, &Fake::default()).unwrap();
    let cuda = Plan::build(&experiment, &Fake { backend: Backend::Cuda, ..Fake::default() }).unwrap();
    for stage in &cpu.stages {
        let computes = matches!(stage.kind.name(), "coarse" | "fine" | "generate" | "score");
        assert_eq!(cuda.stage(stage.id).is_none(), computes, "{}", stage.label);
    }
}

#[test]
fn smoke_runs_share_nothing_with_real_ones() {
    let text = "[data]\npool = [\"a\"]\ntarget = \"a\"\n[coarse]\nsubset = { max_sentences = 10 }\n";
    let experiment = read(text).unwrap();
    let real = ids(&experiment);
    let smoke = ids(&experiment.clone().smoke());
    assert!(real.is_disjoint(&smoke));
    // Not by size alone: where nothing is left to shrink, too.
    let twice = ids(&experiment.clone().smoke().smoke());
    assert_eq!(twice, smoke);
}

#[test]
fn smoke_keeps_every_arm() {
    let text =
        "data = { pool = [\"a\", \"b\"] }\ngrid = { \"data.target\" = [\"a\", \"b\"], \"fine.lr\" = [1e-3, 1e-4] }\n";
    let experiment = read(text).unwrap();
    let smoke = experiment.clone().smoke();
    assert_eq!(smoke.points(), experiment.points());
    assert_eq!(smoke.question.seeds.count, 2);
    let points: BTreeSet<String> = smoke.arms[0].points.iter().map(|p| format!("{:?}", p.axes)).collect();
    assert_eq!(points.len(), 4);
}

#[test]
fn keys_that_are_switched_off_do_not_run_things_again() {
    let base = "[data]\npool = [\"a\"]\ntarget = \"a\"\n";
    let before = ids(&read(base).unwrap());
    for (key, value) in [
        ("generate.beams", "8"),
        ("generate.temperature", "0.5"),
        ("generate.max_span", "3"),
        ("fine.decay", "0.5"),
        ("fine.mask", "paper"),
        ("fine.lora.rank", "64"),
        ("data.merge.weights", "{ a = 3.0 }"),
        ("fine.subset.seed", "3"),
        ("pretrain.lr", "0.5"),
        ("generate.batch", "1"),
        ("executor.workers", "3"),
        ("executor.slurm.partition", "gpu"),
        ("model.path", "nowhere"),
    ] {
        let now = ids(&read_with(base, &[(key, value)]).unwrap());
        assert_eq!(now, before, "{key}");
    }
}

#[test]
fn a_difference_names_the_key() {
    let plan = |lr: &str| {
        let experiment = read_with("[data]\npool = [\"a\"]\ntarget = \"a\"\n", &[("fine.lr", lr)]).unwrap();
        Plan::build(&experiment, &Fake::default()).unwrap()
    };
    let (a, b) = (plan("1e-3"), plan("3e-4"));
    let fine = |plan: &Plan| plan.stages.iter().find(|stage| stage.kind.name() == "fine").unwrap().kind.clone();
    let found = differences(&fine(&a), &fine(&b));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "body.settings.lr");
    assert_eq!(found[0].right, Some(Value::from(3e-4)));
}

#[test]
fn identities_are_stable_over_releases() {
    // If this fails, people's finished stages would run again: raise the kind's code version on purpose instead.
    let plan = Plan::build(&read("[data]\npool = [\"a\"]\ntarget = \"a\"\n").unwrap(), &Fake::default()).unwrap();
    let fine = plan.stages.iter().find(|stage| stage.kind.name() == "fine").unwrap();
    insta::assert_snapshot!(canonical_json(&fine.kind.identity()));
}
