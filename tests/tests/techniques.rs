//! Co-Regularization and PL-Marker from an experiment file to scores, alone and together.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Lab, TINY};

/// The smallest experiment with these arms in place of its own.
fn with_arms(arms: &[(&str, &str)]) -> String {
    let (head, tail) = (TINY.split_once("[[arm]]").unwrap().0, TINY.split_once("[data]").unwrap().1);
    let arm = |(name, set): &(&str, &str)| format!("[[arm]]\nname = \"{name}\"\nset = {{ {set} }}\n");
    let arms: String = arms.iter().map(arm).collect();
    format!("{}{arms}\n[data]{tail}", head.replace("\"free\"", "\"neither\""))
}

const CO_REGULARIZATION: &str = r#""fine.co_regularization" = { alpha = 2.0 }"#;
const PL_MARKER: &str = r#""fine.pl_marker" = { negatives = 3, rescore = true, propose = true, threshold = 0.3 }"#;

fn both() -> String {
    format!("{CO_REGULARIZATION}, {PL_MARKER}")
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn span(value: &Value) -> (u64, u64) {
    (value["start"].as_u64().unwrap(), value["end"].as_u64().unwrap())
}

#[test]
fn each_technique_and_both_go_from_a_file_to_scores() {
    let both = both();
    let lab = Lab::new(&with_arms(&[
        ("neither", ""),
        ("co-regularization", CO_REGULARIZATION),
        ("pl-marker", PL_MARKER),
        ("pl-marker, loss only", r#""fine.pl_marker" = { negatives = 3, veto = false }"#),
        ("both", &both),
    ]));
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    assert_eq!(lab.stored("scores.json").len(), 5);

    // The two arms that differ in the verdicts share their training.
    let curves: Vec<Vec<Value>> = lab.stored("curve.jsonl").values().map(|bytes| lines(bytes)).collect();
    assert_eq!(curves.len(), 4);
    let kinds: BTreeMap<(bool, bool), f64> = (curves.iter())
        .map(|curve| {
            let first = &curve[0];
            let has = |key: &str| first[key].as_f64().is_some_and(|value| value > 0.0);
            ((has("divergence"), has("spans")), first["loss"].as_f64().unwrap())
        })
        .collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    // Copy 0 begins as it would alone: the markers' loss changes nothing before the first step.
    assert_eq!(kinds[&(false, false)], kinds[&(false, true)]);

    let verdicts = lab.stored("verdicts.jsonl");
    assert_eq!(verdicts.len(), 2, "the loss alone has no say in decoding");
    let generations = lab.stored("generations.jsonl");
    let mut actions: BTreeMap<String, usize> = BTreeMap::new();
    for (artefact, bytes) in &verdicts {
        let answers = lines(&generations[artefact]);
        assert_eq!(answers.len(), lines(bytes).len());
        for (sentence, answer) in lines(bytes).iter().zip(&answers) {
            assert_eq!(sentence["id"], answer["id"]);
            let entities: Vec<(&Value, (u64, u64))> = (answer["predictions"].as_array().unwrap().iter())
                .filter(|p| p["span"].is_object())
                .map(|p| (&p["type"], span(&p["span"])))
                .collect();
            for verdict in sentence["verdicts"].as_array().unwrap() {
                let action = verdict["action"].as_str().unwrap();
                *actions.entry(action.to_owned()).or_default() += 1;
                let here = span(&verdict["span"]);
                let [none, preferred] = ["none", "probability"].map(|key| verdict[key].as_f64().unwrap());
                match action {
                    "vetoed" => assert!(none >= 0.3),
                    "kept" => assert!(none < 0.3 && entities.contains(&(&verdict["decoded"], here))),
                    "retyped" | "proposed" => {
                        assert!(entities.contains(&(&verdict["preferred"], here)), "{verdict} is not in {answer}");
                        let others = entities.iter().filter(|(_, other)| other.0 < here.1 && here.0 < other.1);
                        assert!(action == "retyped" || others.count() == 1, "{verdict} shares text in {answer}");
                        assert!(action == "retyped" || preferred >= 0.3);
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
    assert!(actions.values().sum::<usize>() > 0, "nothing was judged: this test says nothing");
}

#[test]
fn both_together_killed_at_any_moment_end_with_the_same_scores() {
    let experiment = with_arms(&[("neither", &both())]);
    let reference = Lab::new(&experiment);
    let start = Instant::now();
    reference.run(&["run", "experiment.toml"]).expect(0, &[]);
    let whole = start.elapsed();
    let scores = reference.stored("scores.json");
    let weights = reference.stored("model.safetensors");
    for share in [0.3, 0.6] {
        let lab = Lab::new(&experiment);
        let mut child = lab.start(&["run", "experiment.toml", "--set", "fine.checkpoint_every=1"]);
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(20)));
        child.kill().unwrap();
        child.wait().unwrap();
        lab.run(&["run", "experiment.toml", "--set", "fine.checkpoint_every=1"]).expect(0, &["0 failed"]);
        assert_eq!(lab.stored("scores.json"), scores, "killed after {share} of the run");
        assert!(lab.stored("model.safetensors") == weights, "other weights when killed after {share} of the run");
    }
}

#[test]
fn copies_of_a_trained_model_begin_differently_or_are_refused() {
    let trained = |technique: &str| {
        with_arms(&[("neither", &format!("\"fine.co_regularization\" = {technique}"))])
            .replace("enabled = false", "enabled = true\nepochs = 1\npatience = false\nsubset = { max_sentences = 16 }\nvalid = { metric = \"none\" }")
    };
    let lab = Lab::new(&trained("{ alpha = 2.0, copies = 3 }"));
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    let curves = lab.stored("curve.jsonl");
    let divergences: Vec<f64> = curves.values().filter_map(|bytes| lines(bytes)[0]["divergence"].as_f64()).collect();
    assert_eq!(divergences.len(), 1);
    assert!(divergences[0] > 1e-6, "{divergences:?}");

    let lab = Lab::new(&trained("{ noise = 0 }"));
    lab.run(&["plan", "experiment.toml"]).expect(2, &["begin equal", "noise"]);
}

/// Coarse- and fine-tuning with adapters, the latter with both techniques.
fn with_adapters(coarse: &str, fine: &str, technique: &str) -> String {
    let arms = [("neither", &*format!("\"fine.co_regularization\" = {technique}, {PL_MARKER}"))];
    let adapters = |more: &str| format!("lora = {{ mode = \"on\", rank = 2, alpha = 4, {more} }}");
    let coarse = format!(
        "[coarse]\nepochs = 1\npatience = false\nsubset = {{ max_sentences = 16 }}\nvalid = {{ metric = \"none\" }}\n\
         pl_marker = {{ negatives = 3 }}\n{}",
        adapters(coarse)
    );
    (with_arms(&arms).replace("[coarse]\nenabled = false", &coarse))
        .replace("[fine]\n", &format!("[fine]\n{}\n", adapters(fine)))
}

#[test]
fn adapters_share_one_base_and_go_on_with_the_one_before() {
    let lab = Lab::new(&with_adapters("dropout = 0", "dropout = 0", "{ copies = 3 }"));
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    assert!(lab.stored("model.safetensors").is_empty(), "an artefact repeats the base's weights");
    let bases = lab.stored("base.json");
    assert_eq!(bases.len(), 2);
    assert!(bases.values().all(|base| std::str::from_utf8(base).unwrap().contains("random")), "{bases:?}");
    let curves = lab.stored("curve.jsonl");
    let divergences: Vec<f64> = curves.values().filter_map(|bytes| lines(bytes)[0]["divergence"].as_f64()).collect();
    assert!(divergences.len() == 1 && divergences[0] > 1e-9, "{divergences:?}");

    // Told apart by their dropout alone, which is the stage's own.
    let lab = Lab::new(&with_adapters("dropout = 0", "dropout = 0.5", "{ noise = 0 }"));
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
    let curves = lab.stored("curve.jsonl");
    let divergences: Vec<f64> = curves.values().filter_map(|bytes| lines(bytes)[0]["divergence"].as_f64()).collect();
    assert!(divergences.len() == 1 && divergences[0] > 1e-9, "{divergences:?}");

    let lab = Lab::new(&with_adapters("dropout = 0.1", "dropout = 0", "{ noise = 0 }"));
    lab.run(&["plan", "experiment.toml"]).expect(2, &["begin equal", "noise"]);
    // The same, in other words than the plan compares.
    let lab = Lab::new(&with_adapters("dropout = 0", "dropout = 0, targets = \"c_attn\"", "{ noise = 0 }"));
    lab.run(&["run", "experiment.toml"]).expect(1, &["begin equal", "noise"]);
}

#[test]
fn both_together_run_on_every_architecture() {
    for architecture in ["llama", "gpt-neox", "falcon"] {
        let shape = format!("[model]\narchitecture = \"{architecture}\"\n");
        let experiment = with_arms(&[("neither", &both())]).replace("[model]\n", &shape);
        let lab = Lab::new(&experiment.replace("epochs   = 2", "epochs   = 1"));
        lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);
        assert_eq!(lab.stored("verdicts.jsonl").len(), 1, "{architecture}");
    }
}
