//! Canonical JSON, the text that is hashed: keys sorted by their bytes, no white space, shortest round-trip numbers.
//!
//! `serde_json` may keep insertion order (a feature that any crate of the build can switch on), so the order is made
//! here. A whole-valued number is written alike whether it was read as 1 or as 1.0: the definition says which keys are
//! integers, and reading already turned the others into floats.

use std::fmt::Write as _;

use serde_json::Value;

/// The canonical text of a value.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(&Value::String(key.clone()), out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        // Writing to a string cannot fail.
        scalar => _ = write!(out, "{scalar}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_whatever_their_order_was() {
        let text = canonical_json(&json!({"b": [1, 2.5, null], "a": {"z": "é\n", "y": true}}));
        assert_eq!(text, r#"{"a":{"y":true,"z":"é\n"},"b":[1,2.5,null]}"#);
    }
}
