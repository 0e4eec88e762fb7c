//! The reference page and the JSON schema: written from the definition that the parser reads by.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::define::{Choice, Kind, Table};
use crate::file::{ARM, BLOCK, HEAD, Question, WHEN};
use crate::read::expectation;
use crate::settings::Settings;

/// The reference page of experiment files, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(INTRODUCTION);
    // Writing to a string cannot fail.
    _ = page(&mut out);
    out
}

const INTRODUCTION: &str = "\
# Experiment files

<!-- Written by the program from its own definition of the keys; `just docs` writes it anew. -->

An experiment is a TOML file. It states a question, the arms that answer it, and the settings of every stage:

```toml
extends = \"base/tiny.toml\"

[experiment]
question   = \"Is coarse-tuning on merged data better than on each dataset alone?\"
baseline   = \"individual\"
min_effect = 0.3
seeds      = { start = 1, count = 5 }

[grid]                                   # axes of every arm
\"data.target\" = [\"wnut17\", \"bc5cdr\"]

[[arm]]
name = \"individual\"
set  = { \"coarse.datasets\" = \"target\" }

[[arm]]
name = \"merged\"
set  = { \"coarse.datasets\" = \"all\" }

[data]
pool = [\"wnut17\", \"bc5cdr\"]

[fine]
lr = 3e-4
```

**Which value wins.** Defaults, then the files of `extends` in their order, then the file's own tables, then `set` of the
arm, of its block, then `--set key=value` of the command, then the axes, then `when`. Tables merge key by key.

**Arms and points.** An arm has one point per combination of its axes: `grid` crosses them, `zip` moves them together.
Axes at the top of the file count for every arm that neither sets nor varies the key itself. `exclude` drops the points
that have all of the listed values; `when` gives further settings to the points that meet its condition. An arm with
`[[arm.block]]` parts has the points of one part after the other. An arm of an extended file is replaced by one of the
same name. Seeds are replicates, not an axis: every point runs once per seed.

**Datasets** are named, or meant: `all` (the pool), `target` (the dataset in question), `others` (the pool without it).

**Optional keys** take `false` for \"none\"; optional tables take `true` for \"with its defaults\".

**Identity.** A stage is known by the hash of everything that its artefact depends on. Keys marked *inert* take no part:
changing them runs nothing again. Keys that others switch off (beams of a greedy search) take no part either.
";

fn page(out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n## Around the stages\n")?;
    heads(out, "the file", &HEAD)?;
    heads(out, "`[[arm]]`", &ARM)?;
    heads(out, "`[[arm.block]]`", &BLOCK)?;
    heads(out, "`when`", &WHEN)?;
    let question = serde_json::to_value(Question::default()).unwrap_or_default();
    section(out, "experiment", &Question::TABLE, &question)?;
    writeln!(out, "## Settings of the stages\n")?;
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    for field in Settings::TABLE.fields {
        if let (Kind::Table(table), Some(defaults)) = (field.kind, defaults.get(field.name)) {
            section(out, field.name, table, defaults)?;
        }
    }
    Ok(())
}

fn heads(out: &mut String, title: &str, table: &Table) -> std::fmt::Result {
    writeln!(out, "Keys of {title}:\n\n| key | value | |\n|---|---|---|")?;
    for field in table.fields {
        writeln!(out, "| `{}` | {} | {} |", field.name, words(&field.kind), cell(field.doc))?;
    }
    writeln!(out)
}

fn section(out: &mut String, name: &str, table: &'static Table, defaults: &Value) -> std::fmt::Result {
    writeln!(out, "### `[{name}]`\n\n{}\n", text(table.doc))?;
    writeln!(out, "| key | value | default | |\n|---|---|---|---|")?;
    let mut below = Vec::new();
    for field in table.fields {
        let default = defaults.get(field.name).cloned().unwrap_or_default();
        let inner = match field.kind {
            Kind::Optional(inner) => *inner,
            kind => kind,
        };
        let inert = if field.inert { " *Inert.*" } else { "" };
        let alias = field.alias.map_or_else(String::new, |alias| format!(" (also `{alias}`)"));
        if let Kind::Table(inner_table) = inner {
            below.push((field, inner_table, default.clone()));
            let shown = if default.is_null() { "`false`" } else { "below" };
            let value = if matches!(field.kind, Kind::Optional(_)) { "a table, `true` or `false`" } else { "a table" };
            writeln!(out, "| `{}`{alias} | {value} | {shown} | {}{inert} |", field.name, cell(field.doc))?;
        } else {
            let value = words(&field.kind);
            let choices = match inner {
                Kind::Choice(choices) | Kind::OneOrMany(&Kind::Choice(choices)) => described(choices),
                _ => String::new(),
            };
            writeln!(
                out,
                "| `{}`{alias} | {value} | {} | {}{choices}{inert} |",
                field.name,
                literal(&default),
                cell(field.doc)
            )?;
        }
    }
    writeln!(out)?;
    for (field, table, default) in below {
        let own = if default.is_null() { on(table) } else { default };
        section(out, &format!("{name}.{}", field.name), table, &own)?;
    }
    Ok(())
}

/// The defaults of an optional table that is switched on.
fn on(table: &'static Table) -> Value {
    Value::Object(table.fields.iter().map(|field| (field.name.to_owned(), (field.default)())).collect::<Map<_, _>>())
}

fn described(choices: &[Choice]) -> String {
    let lines: Vec<String> = choices.iter().map(|choice| format!("`{}`: {}", choice.word, cell(choice.doc))).collect();
    format!("<br>{}", lines.join("<br>"))
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Choice(_) => "a word".into(),
        Kind::OneOrMany(Kind::Choice(_)) => "a word, or a list of them".into(),
        Kind::OneOrMany(Kind::Axes) => "a table of settings keys with lists, or a list of such tables".into(),
        Kind::OneOrMany(Kind::Assignments) => "a table of settings keys, or a list of such tables".into(),
        Kind::OneOrMany(Kind::Table(_)) => "a table, or a list of tables".into(),
        Kind::List(Kind::Table(_)) => "tables".into(),
        Kind::Optional(inner) => format!("{}, or `false`", words(inner)),
        kind => expectation(kind),
    }
}

fn literal(default: &Value) -> String {
    match default {
        Value::Null => "`false`".into(),
        Value::Array(items) if items.len() == 1 => format!("`{}`", toml_text(&items[0])),
        value => format!("`{}`", toml_text(value)),
    }
}

fn toml_text(value: &Value) -> String {
    match value {
        Value::Object(object) if object.is_empty() => "{}".into(),
        value => value.to_string(),
    }
}

/// A doc comment as one paragraph.
fn text(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(doc: &str) -> String {
    text(doc).replace('|', "\\|")
}

/// The JSON schema of experiment files, for editors.
pub fn json_schema() -> Value {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let mut properties = Map::new();
    for field in HEAD.fields {
        properties.insert(field.name.into(), documented(schema(&field.kind, None), field.doc));
    }
    for field in Settings::TABLE.fields {
        let own = schema(&field.kind, defaults.get(field.name));
        properties.insert(field.name.into(), documented(own, field.doc));
    }
    let mut settings = Map::new();
    keys("", &Settings::TABLE, &mut settings);
    let axes: Map<String, Value> = settings
        .iter()
        .map(|(key, schema)| (key.clone(), json!({ "type": "array", "minItems": 1, "items": schema })))
        .collect();
    let nested: Vec<&str> = Settings::TABLE.fields.iter().map(|field| field.name).collect();
    let open = |mut keys: Map<String, Value>| {
        // Tables may also be written out instead of with dotted keys; their inside is checked by the program.
        for name in &nested {
            keys.entry(*name).or_insert_with(|| json!({ "type": ["object", "array"] }));
        }
        json!({ "type": "object", "properties": keys, "additionalProperties": false })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An inerd experiment",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": { "assignments": open(settings), "axes": open(axes) },
    })
}

fn documented(mut schema: Value, doc: &str) -> Value {
    if let Value::Object(object) = &mut schema {
        object.insert("description".into(), text(doc).into());
    }
    schema
}

/// Every key below a table, dotted.
fn keys(prefix: &str, table: &'static Table, out: &mut Map<String, Value>) {
    for field in table.fields {
        let inner = match field.kind {
            Kind::Optional(inner) => *inner,
            kind => kind,
        };
        for name in std::iter::once(field.name).chain(field.alias) {
            let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            if let Kind::Table(below) = inner {
                keys(&key, below, out);
                if matches!(field.kind, Kind::Optional(_)) {
                    out.insert(key, schema(&field.kind, None));
                }
            } else {
                out.insert(key, schema(&field.kind, None));
            }
        }
    }
}

fn schema(kind: &Kind, default: Option<&Value>) -> Value {
    let mut own = match kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } if *max == i64::MAX => json!({ "type": "integer", "minimum": min }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number { min, max } => {
            let mut own = json!({ "type": "number" });
            if min.is_finite() {
                own["minimum"] = json!(min);
            }
            if max.is_finite() {
                own["maximum"] = json!(max);
            }
            own
        }
        Kind::Text => json!({ "type": "string" }),
        Kind::Choice(choices) => json!({ "enum": choices.iter().map(|choice| choice.word).collect::<Vec<_>>() }),
        Kind::List(item) => json!({ "type": "array", "items": schema(item, None) }),
        Kind::OneOrMany(item) => {
            let one = schema(item, None);
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Kind::Map(item) => json!({ "type": "object", "additionalProperties": schema(item, None) }),
        Kind::Assignments => json!({ "$ref": "#/$defs/assignments" }),
        Kind::Axes => json!({ "$ref": "#/$defs/axes" }),
        Kind::Optional(inner) => {
            let off =
                if matches!(inner, Kind::Table(_)) { json!({ "type": "boolean" }) } else { json!({ "const": false }) };
            json!({ "anyOf": [schema(inner, None), off] })
        }
        Kind::Table(table) => {
            let mut properties = Map::new();
            for field in table.fields {
                let own = default.and_then(|default| default.get(field.name));
                let described = documented(schema(&field.kind, own), field.doc);
                if let Some(alias) = field.alias {
                    properties.insert(alias.into(), described.clone());
                }
                properties.insert(field.name.into(), described);
            }
            return json!({ "type": "object", "properties": properties, "additionalProperties": false });
        }
    };
    if let (Some(default), Some(own)) = (default, own.as_object_mut()) {
        let shown = if default.is_null() { Value::Bool(false) } else { default.clone() };
        own.insert("default".into(), shown);
    }
    own
}
