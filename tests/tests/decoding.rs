//! Every way of decoding, from the file to what is stored.

mod support;

use serde_json::Value;
use support::{Lab, TINY};

fn lines(bytes: &[u8]) -> Vec<Value> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The only masked generation's file of this name.
fn masked(lab: &Lab, name: &str) -> Vec<u8> {
    let audits = lab.stored("audit.json");
    assert_eq!(audits.len(), 1, "one arm is masked");
    lab.stored(name).remove(audits.keys().next().unwrap()).unwrap_or_else(|| panic!("{name} beside audit.json"))
}

#[test]
fn the_mask_is_audited_rule_by_rule() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml"]).expect(0, &[]);
    let audit: Value = serde_json::from_slice(&masked(&lab, "audit.json")).unwrap();
    let written: u64 = lines(&masked(&lab, "generations.jsonl")).iter().map(|g| g["tokens"].as_u64().unwrap()).sum();
    assert_eq!(audit["steps"], written, "every written token is a step");
    let rules = audit["rules"].as_array().unwrap();
    let mass: f64 = rules.iter().map(|r| r["mass_removed"].as_f64().unwrap()).sum();
    assert!(mass > 0.0 && mass <= written as f64, "{mass} of {written}");
    let changed: u64 = rules.iter().map(|r| r["argmax_removed"].as_u64().unwrap()).sum();
    assert!(changed > 0, "a model after twelve steps is overruled somewhere");
    lab.run(&["run", "experiment.toml", "--set", "generate.audit=false"]).expect(0, &[]);
    assert_eq!(lab.stored("audit.json").len(), 1, "switched off, nothing is audited");
}

#[test]
fn a_beam_search_keeps_a_list_of_answers_for_each_sentence() {
    let wide = Lab::new(TINY);
    let options = ["--set", "generate.strategy=beam", "--set", "generate.beams=4", "--set", "generate.n_best=3"];
    wide.run(&[&["run", "experiment.toml"][..], &options].concat()).expect(0, &[]);
    let lists = lines(&masked(&wide, "alternatives.jsonl"));
    let best = lines(&masked(&wide, "generations.jsonl"));
    assert_eq!(lists.len(), best.len());
    let mut lengths = 0;
    for (list, best) in lists.iter().zip(&best) {
        let answers = list["answers"].as_array().unwrap();
        lengths += answers.len();
        assert_eq!(answers[0]["output"], best["output"]);
        let log: Vec<f64> = answers.iter().map(|a| a["log_probability"].as_f64().unwrap()).collect();
        assert!(log.is_sorted_by(|a, b| a >= b) && log.iter().all(|&l| l <= 0.0), "{log:?}");
        for prediction in best["predictions"].as_array().unwrap() {
            let confidence = prediction["confidence"].as_f64().unwrap();
            assert!(confidence > 0.0 && confidence <= 1.0 + 1e-9);
        }
    }
    assert!(lengths > lists.len(), "lists hold more than one answer");
}

#[test]
fn draws_can_be_repeated_and_the_gold_length_cuts_answers() {
    let lab = Lab::new(TINY);
    let sampled = |seed: &str| -> Vec<u8> {
        let options = ["--set", "generate.strategy=sample", "--set", "generate.n_best=4", "--set", seed];
        let lab = Lab::new(TINY);
        lab.run(&[&["run", "experiment.toml"][..], &options].concat()).expect(0, &[]);
        masked(&lab, "alternatives.jsonl")
    };
    let first = sampled("generate.seed=5");
    assert_eq!(first, sampled("generate.seed=5"));
    assert_ne!(first, sampled("generate.seed=6"));

    lab.run(&["run", "experiment.toml", "--set", "generate.gold_length=true"]).expect(0, &["0 failed"]);
    let longest = |lab: &Lab| -> u64 {
        let all = lab.stored("generations.jsonl");
        all.values().flat_map(|bytes| lines(bytes)).map(|g| g["tokens"].as_u64().unwrap()).max().unwrap()
    };
    let free = Lab::new(TINY);
    free.run(&["run", "experiment.toml"]).expect(0, &[]);
    assert_eq!(longest(&free), 24, "an untrained model writes up to the limit");
    let empty = lines(lab.stored("sentences.jsonl").values().next().unwrap());
    assert!(empty.iter().any(|s| s["entities"].as_array().is_none_or(Vec::is_empty)), "a sentence without entities");
    let shortest =
        lab.stored("generations.jsonl").values().flat_map(|b| lines(b)).map(|g| g["tokens"].as_u64().unwrap()).min();
    assert!(shortest.unwrap() <= 11, "the empty answer is one token: end of sequence");
}

#[test]
fn every_format_is_learnt_and_decoded() {
    let lab = Lab::new(TINY);
    let formats = [
        &["--set", "format.dataset_cue=true"][..],
        &["--set", "format.type_list=true"],
        &["--set", "format.style=inline"],
        &["--set", "format.style=json"],
        &["--set", "format.style=content-first", "--set", "format.order=random"],
        &["--set", "format.verbalise=symbols", "--set", "generate.granularity=text"],
    ];
    for format in formats {
        lab.run(&[&["run", "experiment.toml", "--fail-fast"], format].concat()).expect(0, &["0 failed"]);
    }
}
