use std::fmt::Write as _;
use std::process::ExitCode;

use inerd_experiment::{Difference, Fingerprint, value_differences};
use inerd_run::{SCORES, Store};
use serde_json::{Map, Value, json};

use crate::Global;
use crate::commands::explain::shown;
use crate::commands::find::{self, Found};
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The beginning of a stage's fingerprint.
    left: String,
    /// The beginning of the other's.
    right: String,
}

pub(crate) fn run(arguments: &Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let store = Store::at(&global.store);
    let left = find::stage(&arguments.left, &store, None)?;
    let right = find::stage(&arguments.right, &store, None)?;
    let compare = |of: &dyn Fn(&Found) -> Value| value_differences(&of(&left), &of(&right));
    // What a stage reads is compared, too: two scores differ in how their models were trained.
    let settings = compare(&|found| lineage(&identity(found, &store), &store));
    let provenance = compare(&|found| manifest(found.id, &store, "provenance"));
    let facts = compare(&|found| manifest(found.id, &store, "facts"));
    let scores = compare(&|found| scores(found.id, &store));

    let mut text =
        format!("{} {} → {} {}\n", left.id.short(), left.label(&store), right.id.short(), right.label(&store));
    for (title, differences) in
        [("settings", &settings), ("scores", &scores), ("facts", &facts), ("provenance", &provenance)]
    {
        section(&mut text, title, differences);
    }
    let json = json!({
        "left": left.id, "right": right.id, "settings": settings, "scores": scores, "facts": facts,
        "provenance": provenance,
    });
    output.result(&text, &json);
    Ok(Exit::Success.into())
}

fn section(text: &mut String, title: &str, differences: &[Difference]) {
    if !differences.is_empty() {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{title}");
        for difference in differences {
            _ = writeln!(text, "  {}", shown(difference));
        }
    }
}

fn identity(found: &Found, store: &Store) -> Value {
    match &found.stage {
        Some(stage) => stage.kind.identity(),
        None => manifest(found.id, store, "stage"),
    }
}

fn manifest(id: Fingerprint, store: &Store, key: &str) -> Value {
    let manifest = store.get(id).ok().and_then(|artefact| serde_json::to_value(artefact.manifest).ok());
    manifest.map_or(Value::Null, |mut manifest| manifest[key].take())
}

/// The figures of a score, without those of single sentences.
fn scores(id: Fingerprint, store: &Store) -> Value {
    let scores: Option<Value> = store.get(id).ok().and_then(|artefact| artefact.json(SCORES).ok());
    scores.map_or(Value::Null, |scores| without_lists(&scores))
}

fn without_lists(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(_, value)| !value.is_array());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_lists(value))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// An identity with those of the stages that it reads in the places of their fingerprints.
fn lineage(identity: &Value, store: &Store) -> Value {
    match identity {
        Value::String(text) => match text.parse::<Fingerprint>().ok().and_then(|id| store.get(id).ok()) {
            Some(artefact) => lineage(&artefact.manifest.stage, store),
            None => identity.clone(),
        },
        Value::Object(object) => {
            Value::Object(object.iter().map(|(key, value)| (key.clone(), lineage(value, store))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(|value| lineage(value, store)).collect()),
        other => other.clone(),
    }
}
