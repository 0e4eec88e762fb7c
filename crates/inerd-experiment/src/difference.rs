//! What differs between two stages: the answer to "why did this one run again?".

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stage::StageKind;

/// One leaf of two identities that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Dotted path inside the identity, such as `body.settings.lr`.
    pub path: String,
    /// Absent where the path exists on the other side only.
    pub left: Option<Value>,
    pub right: Option<Value>,
}

/// The leaves in which two stages' identities differ, by path.
pub fn differences(left: &StageKind, right: &StageKind) -> Vec<Difference> {
    value_differences(&left.identity(), &right.identity())
}

/// The leaves in which two values differ, by path: identities as manifests have them.
pub fn value_differences(left: &Value, right: &Value) -> Vec<Difference> {
    let mut out = Vec::new();
    compare("", Some(left), Some(right), &mut out);
    out
}

fn compare(path: &str, left: Option<&Value>, right: Option<&Value>, out: &mut Vec<Difference>) {
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (left, right) {
        let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            compare(&below, a.get(key), b.get(key), out);
        }
    } else if left != right {
        out.push(Difference { path: path.to_owned(), left: left.cloned(), right: right.cloned() });
    }
}
