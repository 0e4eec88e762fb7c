//! Bad input gets an error that says where and what to do, with a documented code, and leaves nothing half-written.

mod support;

use std::fs;

use support::{Lab, TINY};

/// Runs an experiment that must fail: the code, what is said, and that no staging folder is left.
#[track_caller]
fn refused(lab: &Lab, arguments: &[&str], code: i32, said: &[&str]) {
    lab.run(arguments).expect(code, said);
    let staging = fs::read_dir(lab.path("store/staging")).into_iter().flatten().count();
    assert_eq!(staging, 0, "something half-written is left in the store");
}

#[test]
fn a_misspelt_key_is_an_error_with_its_line_and_the_nearest_key() {
    let lab = Lab::new(&TINY.replace("max_test  = 12", "max_tets  = 12"));
    refused(&lab, &["run", "experiment.toml"], 2, &["max_tets", "experiment.toml:19", "max_test"]);
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_with_its_line() {
    let lab = Lab::new(&TINY.replace("layers  = 1", "layers  = \"one\""));
    refused(&lab, &["run", "experiment.toml"], 2, &["layers", "experiment.toml:26"]);
}

#[test]
fn an_unknown_command_and_a_missing_file_are_usage_errors() {
    let lab = Lab::new(TINY);
    assert_eq!(lab.run(&["frobnicate"]).code(), 2);
    refused(&lab, &["run", "nowhere.toml"], 2, &["nowhere.toml"]);
    assert_eq!(lab.run(&["--help"]).code(), 0);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let ended = Lab::new(TINY).run_unread(&["plan", "experiment.toml"]).expect(0, &[]);
    assert!(!ended.said().contains("panicked"), "{}", ended.said());
}

#[test]
fn a_dataset_that_is_not_at_hand_is_told_before_anything_is_trained() {
    let lab = Lab::new(&TINY.replace("synth-news", "wnut17"));
    refused(&lab, &["run", "experiment.toml"], 3, &["wnut17", "--data-dir", "INERD_DATA", "https://"]);
    assert!(lab.stored("MANIFEST.json").is_empty());
}

#[test]
fn an_unknown_dataset_names_its_nearest_neighbours() {
    let lab = Lab::new(&TINY.replace("synth-news", "synth-mews"));
    refused(&lab, &["run", "experiment.toml"], 3, &["synth-mews", "synth-news"]);
}

/// A data folder in the layout of the card `wnut17`.
fn wnut17(lab: &Lab, train: &str, test: &str) {
    let folder = lab.path("data/wnut17");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("wnut17train.conll"), train).unwrap();
    fs::write(folder.join("emerging.dev.conll"), "Ada\tB-person\nsings\tO\n\n").unwrap();
    fs::write(folder.join("emerging.test.annotated"), test).unwrap();
}

const SENTENCE: &str = "Ada\tB-person\nsings\tO\n\nLondon\tB-location\nsleeps\tO\n\n";

#[test]
fn an_empty_dataset_is_an_error_that_names_it() {
    let lab = Lab::new(&TINY.replace("synth-news", "wnut17"));
    wnut17(&lab, "", SENTENCE);
    let arguments = ["run", "experiment.toml", "--data-dir", "data"];
    let ended = lab.run(&arguments);
    let said = ended.said();
    assert!(ended.code() == 1 || ended.code() == 3, "{said}");
    assert!(said.contains("wnut17"), "{said}");
}

#[test]
fn a_broken_line_of_a_dataset_is_named_with_file_and_line() {
    let lab = Lab::new(&TINY.replace("synth-news", "wnut17"));
    wnut17(&lab, "Ada\tB-person\nsings\n\n", SENTENCE);
    refused(&lab, &["run", "experiment.toml", "--data-dir", "data"], 3, &["wnut17train.conll", "2"]);
}

#[test]
fn a_sentence_longer_than_the_context_is_named() {
    let lab = Lab::new(&TINY.replace("synth-news", "wnut17"));
    let long = "word\tO\n".repeat(400) + "\n";
    wnut17(&lab, SENTENCE, &long);
    let arguments = ["run", "experiment.toml", "--data-dir", "data"];
    refused(&lab, &arguments, 1, &["wnut17/test/1", "context holds 192", "model.context"]);
}

#[test]
fn a_store_that_cannot_be_written_has_its_own_code() {
    let lab = Lab::new(TINY);
    fs::write(lab.path("store"), "a file where the folder should be").unwrap();
    lab.run(&["run", "experiment.toml"]).expect(4, &["store"]);
}

#[test]
fn a_damaged_artefact_is_made_anew() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml"]).expect(0, &[]);
    let before = lab.stored("generations.jsonl");
    let artefact = before.keys().next().unwrap();
    let path = lab.path("store/objects").join(&artefact[..2]).join(artefact).join("generations.jsonl");
    fs::write(&path, "cut off").unwrap();
    fs::remove_file(lab.path("store/objects").join(&artefact[..2]).join(artefact).join("MANIFEST.json")).unwrap();
    lab.run(&["run", "experiment.toml"]).expect(0, &[]);
    assert_eq!(lab.stored("scores.json").len(), 2);
}

#[test]
fn weights_and_tokenizers_that_do_not_fit_are_told() {
    let lab = Lab::new(TINY);
    lab.run(&["run", "experiment.toml"]).expect(0, &[]);
    // A trained model serves as the pretrained one of the next experiment.
    let objects = lab.path("store/objects");
    let trained = lab.stored("curve.jsonl").into_keys().next().unwrap();
    let source = objects.join(&trained[..2]).join(&trained).join("model");
    let model = lab.path("model");
    fs::create_dir_all(&model).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(source.join(name), model.join(name)).unwrap();
    }
    let pretrained = TINY
        .replace(
            "[model]\nlayers  = 1\nwidth   = 32\nheads   = 2\ncontext = 192",
            "[model]\nkind = \"pretrained\"\npath = \"model\"",
        )
        .replace("vocabulary = 400", "kind = \"model\"");
    fs::write(lab.path("experiment.toml"), &pretrained).unwrap();
    lab.run(&["run", "experiment.toml"]).expect(0, &["0 failed"]);

    let weights = fs::read(model.join("model.safetensors")).unwrap();
    fs::write(model.join("model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    refused(&lab, &["run", "experiment.toml"], 1, &["model.safetensors", "truncated"]);

    fs::write(model.join("model.safetensors"), &weights).unwrap();
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    fs::write(model.join("config.json"), config.replace("\"n_layer\": 1", "\"n_layer\": 2")).unwrap();
    refused(&lab, &["run", "experiment.toml"], 1, &["h.1.", "missing"]);
}
