//! TOML to checked JSON values: every wrong key and value of a text is reported, with its place.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::define::{Choice, Field, Kind, Table};
use crate::layer::{Assignment, Located, NotThere, locate, names, nearest};
use crate::problem::{Place, Problem, Source};

/// A value or table of the text, with its span.
pub(crate) type Raw<'a> = Spanned<DeValue<'a>>;

/// The values that an axis takes, one point each.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) path: Vec<String>,
    pub(crate) values: Vec<Value>,
    pub(crate) place: Place,
}

/// Reads one text and collects what is wrong with it.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Source,
    /// Added to every span: the text is a part of the source.
    offset: usize,
    pub(crate) problems: Vec<Problem>,
}

impl Reader {
    pub(crate) fn new(source: Source, offset: usize) -> Self {
        Self { source, offset, problems: Vec::new() }
    }

    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place { source: self.source.clone(), span: span.start + self.offset..span.end + self.offset }
    }

    pub(crate) fn problem(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.report(span, message.into(), "here".into(), help);
    }

    fn report(&mut self, span: Range<usize>, message: String, label: String, help: Option<String>) {
        let place = self.place(span);
        let mut problem = Problem::new(message, Some(&place)).label(label);
        if let Some(help) = help {
            problem = problem.help(help);
        }
        self.problems.push(problem);
    }

    /// The text as a table. Syntax errors are problems, and what could be read is still read.
    pub(crate) fn parse<'a>(&mut self, text: &'a str) -> DeTable<'a> {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.report(
                span,
                format!("invalid TOML: {}", error.message().lines().next().unwrap_or_default()),
                "here".into(),
                None,
            );
        }
        table.into_inner()
    }

    /// A key that the definition doesn't have.
    pub(crate) fn unknown(&mut self, span: Range<usize>, missing: &NotThere) {
        let NotThere { segment, parent, table } = missing;
        let inside = if parent.is_empty() { String::new() } else { format!(" in `{parent}`") };
        let Some(table) = table else {
            let message = format!("unknown key `{parent}.{segment}`");
            self.report(span, message, format!("`{parent}` is a single value"), None);
            return;
        };
        let (label, help) = match nearest(segment, names(table)) {
            Some(near) => (format!("did you mean `{near}`?"), format!("the nearest key{inside} is `{near}`")),
            None => ("unknown key".into(), format!("keys{inside}: {}", names(table).collect::<Vec<_>>().join(", "))),
        };
        self.report(span, format!("unknown key `{segment}`{inside}"), label, Some(help));
    }

    /// A key that none of several tables has.
    pub(crate) fn unknown_among<'k>(
        &mut self,
        span: Range<usize>,
        word: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let (label, help) = match nearest(word, known.clone()) {
            Some(near) => (format!("did you mean `{near}`?"), format!("the nearest key is `{near}`")),
            None => ("unknown key".into(), format!("keys: {}", known.collect::<Vec<_>>().join(", "))),
        };
        self.report(span, format!("unknown key `{word}`"), label, Some(help));
    }

    fn wrong(&mut self, raw: &Raw<'_>, key: &str, expected: &str, help: Option<String>) -> Option<Value> {
        let found = describe(raw.get_ref());
        self.report(
            raw.span(),
            format!("`{key}` must be {expected}, not {found}"),
            format!("expected {expected}"),
            help,
        );
        None
    }

    /// A value of one kind, or `None` after reporting why not. Tables give the keys that are there.
    pub(crate) fn value(&mut self, raw: &Raw<'_>, kind: &Kind, key: &str) -> Option<Value> {
        match kind {
            Kind::Bool => match raw.get_ref().as_bool() {
                Some(value) => Some(Value::Bool(value)),
                None => self.wrong(raw, key, "true or false", None),
            },
            Kind::Integer { min, max } => {
                let number = raw.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
                match number {
                    Some(number) if (*min..=*max).contains(&number) => Some(Value::from(number)),
                    _ => self.wrong(raw, key, &expectation(kind), None),
                }
            }
            Kind::Number { min, max } => {
                match number(raw.get_ref()).filter(|n| n.is_finite() && (*min..=*max).contains(n)) {
                    Some(number) => Number::from_f64(number).map(Value::Number),
                    None => self.wrong(raw, key, &expectation(kind), None),
                }
            }
            Kind::Text => match raw.get_ref().as_str() {
                Some(text) => Some(Value::from(text)),
                None => self.wrong(raw, key, "text in quotes", None),
            },
            Kind::Choice(choices) => self.choice(raw, choices, key),
            Kind::List(item) => match raw.get_ref().as_array() {
                Some(items) => self.items(items, item, key),
                None => self.wrong(raw, key, &expectation(kind), None),
            },
            Kind::OneOrMany(item) => match raw.get_ref().as_array() {
                Some(items) => self.items(items, item, key),
                None => self.value(raw, item, key).map(|one| Value::Array(vec![one])),
            },
            Kind::Map(item) => match raw.get_ref().as_table() {
                Some(table) => {
                    let mut object = Map::new();
                    for (name, value) in table {
                        if let Some(value) = self.value(value, item, &format!("{key}.{}", name.get_ref())) {
                            object.insert(name.get_ref().to_string(), value);
                        }
                    }
                    Some(Value::Object(object))
                }
                None => self.wrong(raw, key, "a table", None),
            },
            Kind::Table(table) => match raw.get_ref().as_table() {
                Some(found) => {
                    let mut object = Value::Object(Map::new());
                    for assignment in self.assignments_below(found, table, key) {
                        assignment.apply(&mut object);
                    }
                    Some(object)
                }
                None => self.wrong(raw, key, "a table", None),
            },
            // Read by `assignments` and `axes`.
            Kind::Assignments | Kind::Axes => None,
            Kind::Optional(inner) => match (raw.get_ref().as_bool(), inner) {
                (Some(false), _) => Some(Value::Null),
                (Some(true), Kind::Table(_)) => Some(Value::Object(Map::new())),
                _ if matches!(
                    (inner, raw.get_ref()),
                    (Kind::Table(_), DeValue::Table(_)) | (Kind::OneOrMany(_), _) | (Kind::List(_), DeValue::Array(_))
                ) =>
                {
                    self.value(raw, inner, key)
                }
                _ => {
                    let before = self.problems.len();
                    let value = self.value(raw, inner, key);
                    for problem in self.problems.iter_mut().skip(before) {
                        *problem = problem.clone().help("`false` switches it off");
                    }
                    value
                }
            },
        }
    }

    fn items(&mut self, items: &[Raw<'_>], kind: &Kind, key: &str) -> Option<Value> {
        let values: Vec<_> = items.iter().map(|item| self.value(item, kind, key)).collect();
        values.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn choice(&mut self, raw: &Raw<'_>, choices: &'static [Choice], key: &str) -> Option<Value> {
        let words: Vec<_> = choices.iter().map(|choice| choice.word).collect();
        match raw.get_ref().as_str() {
            Some(word) if words.contains(&word) => Some(Value::from(word)),
            Some(word) => {
                let label = match nearest(word, words.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "unknown word".into(),
                };
                let help = format!("expected one of: {}", words.join(", "));
                self.report(raw.span(), format!("`{key}` can't be \"{word}\""), label, Some(help));
                None
            }
            None => self.wrong(raw, key, &format!("one of: {}", words.join(", ")), None),
        }
    }

    /// What the keys of a table of the text assign, in the order of the text. Keys may be dotted.
    pub(crate) fn assignments(&mut self, table: &DeTable<'_>, root: &'static Table) -> Vec<Assignment> {
        self.assignments_below(table, root, "")
    }

    fn assignments_below(&mut self, table: &DeTable<'_>, root: &'static Table, above: &str) -> Vec<Assignment> {
        let mut out: Vec<Assignment> = Vec::new();
        self.walk(table, root, above, &[], &mut out);
        out.sort_by_key(|assignment| assignment.place.span.start);
        for i in 1..out.len() {
            if let Some(first) = out[..i].iter().find(|a| a.path == out[i].path && !out[i].value.is_object()) {
                let key = first.key();
                let span = out[i].place.span.clone();
                self.report(
                    span.start - self.offset..span.end - self.offset,
                    format!("`{key}` is given twice"),
                    "the second time".into(),
                    Some("two spellings of one key stand in the same table".into()),
                );
            }
        }
        out
    }

    fn walk(
        &mut self,
        table: &DeTable<'_>,
        root: &'static Table,
        above: &str,
        prefix: &[String],
        out: &mut Vec<Assignment>,
    ) {
        for (key, raw) in table {
            let Some(Located { path, kind }) = self.locate(root, prefix, key) else { continue };
            let inner = match kind {
                Kind::Optional(inner) => *inner,
                other => other,
            };
            if let (Kind::Table(_), DeValue::Table(below)) = (inner, raw.get_ref()) {
                if matches!(kind, Kind::Optional(_)) {
                    // An empty table switches it on.
                    let place = self.place(key.span());
                    out.push(Assignment { path: path.clone(), value: Value::Object(Map::new()), place });
                }
                self.walk(below, root, above, &path, out);
            } else {
                let dotted = path.join(".");
                let name = if above.is_empty() { dotted } else { format!("{above}.{dotted}") };
                if let Some(value) = self.value(raw, &kind, &name) {
                    let place = self.place(raw.span());
                    out.push(Assignment { path, value, place });
                }
            }
        }
    }

    /// The axes of a `grid` or `zip` table, in the order of the text.
    pub(crate) fn axes(&mut self, table: &DeTable<'_>, root: &'static Table) -> Vec<Axis> {
        let mut out = Vec::new();
        self.walk_axes(table, root, &[], &mut out);
        out.sort_by_key(|axis: &Axis| axis.place.span.start);
        out
    }

    fn walk_axes(&mut self, table: &DeTable<'_>, root: &'static Table, prefix: &[String], out: &mut Vec<Axis>) {
        for (key, raw) in table {
            let Some(Located { path, kind }) = self.locate(root, prefix, key) else { continue };
            match (kind, raw.get_ref()) {
                (Kind::Table(_) | Kind::Optional(Kind::Table(_)), DeValue::Table(below)) => {
                    self.walk_axes(below, root, &path, out);
                }
                (_, DeValue::Array(items)) => {
                    let name = path.join(".");
                    if items.is_empty() {
                        self.report(
                            raw.span(),
                            format!("the axis `{name}` has no values"),
                            "empty".into(),
                            Some("remove the key, or list at least one value".into()),
                        );
                        continue;
                    }
                    let values: Vec<_> = items.iter().map(|item| self.value(item, &kind, &name)).collect();
                    if let Some(values) = values.into_iter().collect() {
                        let place = self.place(key.span());
                        out.push(Axis { path, values, place });
                    }
                }
                _ => {
                    let name = path.join(".");
                    self.report(
                        raw.span(),
                        format!("the axis `{name}` must be a list of values"),
                        "expected a list".into(),
                        Some(format!(
                            "one value for every point belongs into `set`; an axis is `\"{name}\" = [ …, … ]`"
                        )),
                    );
                }
            }
        }
    }

    fn locate(
        &mut self,
        root: &'static Table,
        prefix: &[String],
        key: &Spanned<toml::de::DeString<'_>>,
    ) -> Option<Located> {
        let segments: Vec<&str> =
            prefix.iter().map(String::as_str).chain(key.get_ref().split('.').map(str::trim)).collect();
        match locate(root, &segments) {
            Ok(located) => Some(located),
            Err(missing) => {
                self.unknown(key.span(), &missing);
                None
            }
        }
    }

    /// The field of a key of a fixed table, or a problem.
    pub(crate) fn field(
        &mut self,
        key: &Spanned<toml::de::DeString<'_>>,
        table: &'static Table,
        parent: &str,
    ) -> Option<&'static Field> {
        let field = table.field(key.get_ref());
        if field.is_none() {
            let missing =
                NotThere { segment: key.get_ref().to_string(), parent: parent.to_owned(), table: Some(table) };
            self.unknown(key.span(), &missing);
        }
        field
    }

    /// The value as a table, or a problem.
    pub(crate) fn table<'t, 'a>(&mut self, raw: &'t Raw<'a>, key: &str) -> Option<&'t DeTable<'a>> {
        let table = raw.get_ref().as_table();
        if table.is_none() {
            self.wrong(raw, key, "a table", None);
        }
        table
    }

    /// The value as tables: one, or a list of them.
    pub(crate) fn tables<'t, 'a>(&mut self, raw: &'t Raw<'a>, key: &str) -> Vec<(Range<usize>, &'t DeTable<'a>)> {
        match raw.get_ref() {
            DeValue::Table(table) => vec![(raw.span(), table)],
            DeValue::Array(items) => {
                items.iter().filter_map(|item| Some((item.span(), self.table(item, key)?))).collect()
            }
            _ => {
                self.wrong(raw, key, "a table or a list of tables", None);
                Vec::new()
            }
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(n) => n.as_str().parse().ok(),
        _ => None,
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(n) => n.to_string(),
        DeValue::Float(n) => n.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// What a kind accepts, in words that follow "must be".
pub(crate) fn expectation(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "true or false".into(),
        Kind::Integer { min, max } if *max == i64::MAX => format!("a whole number of at least {min}"),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Number { min, max } if min.is_infinite() && max.is_infinite() => "a number".into(),
        Kind::Number { min, max } => format!("a number from {min} to {max}"),
        Kind::Text => "text in quotes".into(),
        Kind::Choice(choices) => {
            format!("one of: {}", choices.iter().map(|choice| choice.word).collect::<Vec<_>>().join(", "))
        }
        Kind::List(item) => format!("a list, each item {}", expectation(item)),
        Kind::OneOrMany(item) => format!("{}, or a list of such", expectation(item)),
        Kind::Map(_) | Kind::Table(_) => "a table".into(),
        Kind::Assignments => "a table of settings keys".into(),
        Kind::Axes => "a table of settings keys with lists of values".into(),
        Kind::Optional(inner) => format!("{}, or false for none", expectation(inner)),
    }
}
