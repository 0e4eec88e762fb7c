//! A base model of our own, from plain text to a fine-tuned arm.

mod support;

use serde_json::Value;
use support::{Lab, TINY};

#[test]
fn text_becomes_a_base_model_that_every_seed_starts_from() {
    let with_text = TINY
        .replace("count = 1", "count = 2")
        .replace("vocabulary = 400", "vocabulary = 400\ndatasets = []\ncorpora = [\"tale\"]")
        + "\n[pretrain]\nenabled = true\ncorpora = [\"tale\"]\nepochs = 3\nbatch = 4\nlength = 32\nlr = 3e-3\nvalid_fraction = 0.1\n";
    let lab = Lab::new(&with_text);
    let refused = lab.run(&["run", "experiment.toml"]);
    assert_ne!(refused.code(), 0);
    assert!(refused.said().contains("tale.txt"), "{}", refused.said());

    std::fs::create_dir(lab.path("texts")).unwrap();
    let tale: String =
        (0..200).map(|i| format!("On day {i} the ship met {} whales near the cape.\n", i * 7 % 13)).collect();
    std::fs::write(lab.path("texts/tale.txt"), tale).unwrap();
    lab.run(&["run", "experiment.toml", "--texts-dir", "texts"]).expect(0, &["0 failed"]);
    let validations = lab.stored("validation.jsonl");
    let perplexities: Vec<Vec<f64>> = (validations.values())
        .map(|bytes| {
            let lines = std::str::from_utf8(bytes).unwrap().lines();
            lines.filter_map(|l| serde_json::from_str::<Value>(l).unwrap()["perplexity"].as_f64()).collect()
        })
        .filter(|p: &Vec<f64>| !p.is_empty())
        .collect();
    assert_eq!(perplexities.len(), 1, "two seeds share one base model");
    assert_eq!(perplexities[0].len(), 3);
    assert!(perplexities[0].is_sorted_by(|a, b| a > b), "{perplexities:?}");
    assert!(perplexities[0][2] < 200.0, "a model that knows nothing has 400: {perplexities:?}");
}
