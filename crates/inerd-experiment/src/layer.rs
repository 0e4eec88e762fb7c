//! Layers of settings: defaults, what a file extends, its own tables, overrides, an arm's `set`, a point's values. Each
//! later layer wins, key by key.

use serde_json::{Map, Value};

use crate::define::{Field, Kind, Table};
use crate::problem::Place;

/// One key and the value that a layer gives it.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) path: Vec<String>,
    pub(crate) value: Value,
    pub(crate) place: Place,
}

impl Assignment {
    pub(crate) fn key(&self) -> String {
        self.path.join(".")
    }

    pub(crate) fn apply(&self, settings: &mut Value) {
        assign(settings, &self.path, &self.value);
    }
}

/// Gives `path` a value. Tables merge; everything else is replaced. A table that was off (`null`) is switched on.
pub(crate) fn assign<S: AsRef<str>>(settings: &mut Value, path: &[S], value: &Value) {
    let Some((first, rest)) = path.split_first() else {
        merge(settings, value);
        return;
    };
    if !settings.is_object() {
        *settings = Value::Object(Map::new());
    }
    if let Value::Object(object) = settings {
        assign(object.entry(first.as_ref()).or_insert(Value::Null), rest, value);
    }
}

fn merge(old: &mut Value, new: &Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                merge(old.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new.clone(),
    }
}

/// The value at a path.
pub(crate) fn lookup<'a, S: AsRef<str>>(settings: &'a Value, path: &[S]) -> Option<&'a Value> {
    path.iter().try_fold(settings, |value, key| value.get(key.as_ref()))
}

/// Where a dotted key leads in the definition.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// The key's segments, aliases replaced.
    pub(crate) path: Vec<String>,
    pub(crate) kind: Kind,
}

/// A segment of a dotted key that its table doesn't have.
#[derive(Debug)]
pub(crate) struct NotThere {
    pub(crate) segment: String,
    /// The keys in front of it.
    pub(crate) parent: String,
    /// The table that was searched; `None` where the key in front isn't a table.
    pub(crate) table: Option<&'static Table>,
}

/// Follows a key, split at its dots, from a table of the definition.
pub(crate) fn locate(root: &'static Table, segments: &[&str]) -> Result<Located, NotThere> {
    let mut kind = Kind::Table(root);
    let mut path: Vec<String> = Vec::new();
    for segment in segments {
        let inside = match kind {
            Kind::Optional(inner) => *inner,
            other => other,
        };
        let (name, next) = match inside {
            Kind::Table(table) => match table.field(segment) {
                Some(field) => (field.name, field.kind),
                None => {
                    return Err(NotThere {
                        segment: (*segment).to_owned(),
                        parent: path.join("."),
                        table: Some(table),
                    });
                }
            },
            Kind::Map(value) => (*segment, *value),
            _ => return Err(NotThere { segment: (*segment).to_owned(), parent: path.join("."), table: None }),
        };
        path.push(name.to_owned());
        kind = next;
    }
    Ok(Located { path, kind })
}

/// The key of a table that was probably meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance * 5 <= candidate.len().max(word.len()) * 2 || (word.len() > 2 && candidate.starts_with(&word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The names of a table's keys.
pub(crate) fn names(table: &'static Table) -> impl Iterator<Item = &'static str> {
    table.fields.iter().map(|field: &Field| field.name)
}
