//! The reference page and the JSON schema are those that the definition gives. `UPDATE_DOCS=1` writes them anew.

use std::path::PathBuf;

use inerd_experiment::{canonical_json, json_schema, reference};

fn check(name: &str, expected: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(name);
    if std::env::vars_os().any(|(key, _)| key == "UPDATE_DOCS") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/{name} is stale: UPDATE_DOCS=1 cargo test -p inerd-experiment documents");
}

#[test]
fn reference_page_is_fresh() {
    check("experiment.md", &reference());
}

#[test]
fn json_schema_is_fresh() {
    check("experiment.schema.json", &(serde_json::to_string_pretty(&sorted(&json_schema())).unwrap() + "\n"));
}

/// Keys sorted, whatever order `serde_json` was built to keep.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    serde_json::from_str(&canonical_json(value)).unwrap()
}

#[test]
fn every_key_is_documented() {
    let page = reference();
    assert!(!page.contains("|  |\n"), "a key has no doc comment");
    for key in ["`co_regularization`", "`propose`", "`signal_seconds`", "`exclude`", "`min_effect`"] {
        assert!(page.contains(key), "{key}");
    }
}
