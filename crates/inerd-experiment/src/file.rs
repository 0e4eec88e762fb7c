//! The layout of an experiment file: what stands around the stage tables, and how files that extend each other combine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::NamedSource;
use serde_json::Value;
use toml::de::{DeString, DeTable, DeValue};

use crate::define::{Field, Kind, Names, Setting, Table, settings};
use crate::layer::{Assignment, locate};
use crate::problem::{Place, Problem, Source};
use crate::read::{Axis, Raw, Reader};
use crate::settings::Settings;

settings! {
    /// What is asked, and how it will be judged.
    pub struct Question {
        /// A title for the report.
        title: String = String::new();
        /// The question, as a sentence.
        question: String = String::new();
        /// The arm that others are compared with.
        baseline: Option<String> = None;
        /// The arms that are compared with the baseline; all others where it is empty.
        contrast: Names = Names::default();
        /// The metric that decides: a convention and an average, such as `f1.span`.
        metric: String = "f1.span".to_owned();
        /// The smallest difference worth claiming, in points of the metric.
        min_effect: Option<f64> = None;
        /// The replicates.
        seeds: Seeds = Seeds::default();
        /// Only these arms; all where it is empty.
        arms: Names = Names::default();
    }

    /// Replicates: every point runs once per seed.
    pub struct Seeds {
        /// The first seed.
        start: u64 = 1;
        /// How many.
        count: usize = 3, [.range(1.0, 10_000.0)];
    }
}

impl Seeds {
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        (self.start..).take(self.count)
    }
}

fn nothing() -> Value {
    Value::Null
}

/// `[[arm.when]]`: settings for the points that meet a condition.
pub(crate) const WHEN: Table = Table {
    doc: "Settings for the points that meet a condition.\n",
    fields: &[
        Field::new("is", " Keys and the values they must have.\n", Kind::Assignments, nothing),
        Field::new("set", " What is then set.\n", Kind::Assignments, nothing),
    ],
};

/// `[[arm.block]]`: a part of an arm's points.
pub(crate) const BLOCK: Table = Table {
    doc: "A part of an arm's points: the arm is its blocks, one after the other.\n",
    fields: &[
        Field::new("set", " Settings of every point.\n", Kind::Assignments, nothing),
        Field::new("grid", " Axes that are crossed: `\"fine.lr\" = [1e-3, 1e-4]`.\n", Kind::Axes, nothing),
        Field::new(
            "zip",
            " Axes of equal length that go together; a list of tables makes several such groups.\n",
            Kind::OneOrMany(&Kind::Axes),
            nothing,
        ),
        Field::new(
            "when",
            " Settings for the points that meet a condition.\n",
            Kind::OneOrMany(&Kind::Table(&WHEN)),
            nothing,
        ),
        Field::new("exclude", " Points to leave out.\n", Kind::OneOrMany(&Kind::Assignments), nothing),
    ],
};

/// `[[arm]]`: one of the things compared.
pub(crate) const ARM: Table = Table {
    doc: "One of the things compared.\n",
    fields: &[
        Field::new("name", " Its name in tables and figures.\n", Kind::Text, nothing),
        Field::new("set", " Settings of every point.\n", Kind::Assignments, nothing),
        Field::new("grid", " Axes that are crossed: `\"fine.lr\" = [1e-3, 1e-4]`.\n", Kind::Axes, nothing),
        Field::new(
            "zip",
            " Axes of equal length that go together; a list of tables makes several such groups.\n",
            Kind::OneOrMany(&Kind::Axes),
            nothing,
        ),
        Field::new(
            "when",
            " Settings for the points that meet a condition.\n",
            Kind::OneOrMany(&Kind::Table(&WHEN)),
            nothing,
        ),
        Field::new("exclude", " Points to leave out.\n", Kind::OneOrMany(&Kind::Assignments), nothing),
        Field::new("block", " Parts of the arm, one after the other.\n", Kind::List(&Kind::Table(&BLOCK)), nothing),
    ],
};

/// The keys of a file that aren't settings of a point.
pub(crate) const HEAD: Table = Table {
    doc: "An experiment.\n",
    fields: &[
        Field::new(
            "extends",
            " Files whose content comes first, relative to this one.\n",
            Kind::OneOrMany(&Kind::Text),
            nothing,
        ),
        Field::new("experiment", Question::TABLE.doc, Question::KIND, nothing),
        Field::new("grid", " Axes of every arm.\n", Kind::Axes, nothing),
        Field::new("zip", " Axes of every arm that go together.\n", Kind::OneOrMany(&Kind::Axes), nothing),
        Field::new(
            "when",
            " Settings for the points of any arm that meet a condition.\n",
            Kind::OneOrMany(&Kind::Table(&WHEN)),
            nothing,
        ),
        Field::new("exclude", " Points of any arm to leave out.\n", Kind::OneOrMany(&Kind::Assignments), nothing),
        Field::new("arm", ARM.doc, Kind::List(&Kind::Table(&ARM)), nothing),
    ],
};

/// What a file, an arm or a block says about points.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    pub(crate) set: Vec<Assignment>,
    pub(crate) grid: Vec<Axis>,
    /// Groups of axes of equal length.
    pub(crate) zip: Vec<Vec<Axis>>,
    pub(crate) when: Vec<When>,
    pub(crate) exclude: Vec<Vec<Assignment>>,
}

#[derive(Debug, Clone)]
pub(crate) struct When {
    pub(crate) is: Vec<Assignment>,
    pub(crate) set: Vec<Assignment>,
}

#[derive(Debug, Clone)]
pub(crate) struct ArmText {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) all: Block,
    pub(crate) blocks: Vec<Block>,
}

/// A file and everything it extends, combined.
#[derive(Debug, Default)]
pub(crate) struct Combined {
    pub(crate) question: Vec<Assignment>,
    /// `set` holds the stage tables.
    pub(crate) top: Block,
    pub(crate) arms: Vec<ArmText>,
    pub(crate) overrides: Vec<Assignment>,
    /// Path and text of every file that was read.
    pub(crate) sources: Vec<(PathBuf, String)>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads files; the disk at the rim, a map in tests.
pub trait Files {
    /// The text of a file, or why there is none.
    fn read(&self, path: &Path) -> Result<String, String>;
}

/// Files of the disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
}

/// Chains of `extends` longer than this are a mistake.
const DEEPEST: usize = 16;

impl Combined {
    /// Adds a file after what it extends.
    pub(crate) fn add_file(&mut self, path: &Path, files: &dyn Files, asked: Option<&Place>, above: &mut Vec<PathBuf>) {
        let path = normalised(path);
        if above.contains(&path) || above.len() >= DEEPEST {
            let message = format!("`extends` goes in a circle: {} extends itself", path.display());
            self.problems.push(Problem::new(message, asked).help("remove one of the `extends`"));
            return;
        }
        let text = match files.read(&path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("read {}: {error}", path.display());
                let help = match asked {
                    Some(_) => "`extends` names files relative to the file it stands in",
                    None => "check the path of the experiment file",
                };
                self.problems.push(Problem::new(message, asked).help(help));
                return;
            }
        };
        self.sources.push((path.clone(), text.clone()));
        let source: Source = Arc::new(NamedSource::new(path.display().to_string(), text).with_language("TOML"));
        let mut reader = Reader::new(source.clone(), 0);
        let table = reader.parse(source.inner());
        above.push(path.clone());
        let folder = path.parent().unwrap_or(Path::new(""));
        for (raw, key) in entries(&table) {
            if key == "extends"
                && let Some(names) = reader.value(raw, &Kind::OneOrMany(&Kind::Text), "extends")
            {
                let place = reader.place(raw.span());
                for name in names.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    self.add_file(&folder.join(name), files, Some(&place), above);
                }
            }
        }
        above.pop();
        self.add_table(&mut reader, &table);
        reader.problems.sort_by_key(|problem| problem.span().map_or(0, |span| span.start));
        self.problems.append(&mut reader.problems);
    }

    fn add_table(&mut self, reader: &mut Reader, table: &DeTable<'_>) {
        let mut arms = Vec::new();
        let mut top = Block::default();
        for (key, raw) in table {
            let name = key.get_ref();
            if Settings::TABLE.field(name).is_some() {
                // Read together below, so that a key given twice is seen.
                continue;
            }
            match name.as_ref() {
                "extends" => {}
                "experiment" => {
                    if let Some(table) = reader.table(raw, "experiment") {
                        self.question.extend(reader.assignments(table, &Question::TABLE));
                    }
                }
                "arm" => arms.extend(read_arms(reader, raw)),
                "grid" | "zip" | "when" | "exclude" => read_block_key(reader, name, raw, &mut top),
                _ => {
                    let known = HEAD.fields.iter().chain(Settings::TABLE.fields).map(|field| field.name);
                    reader.unknown_among(key.span(), name, known);
                }
            }
        }
        let stages: DeTable<'_> = table
            .iter()
            .filter(|(key, _)| Settings::TABLE.field(key.get_ref()).is_some())
            .map(|(key, raw)| (key.clone(), raw.clone()))
            .collect();
        top.set = reader.assignments(&stages, &Settings::TABLE);
        self.top.extend(top);
        for arm in arms {
            match self.arms.iter_mut().find(|known| known.name == arm.name) {
                Some(known) if known.place.source.name() == arm.place.source.name() => {
                    let message = format!("two arms are called \"{}\"", arm.name);
                    let problem = Problem::new(message, Some(&arm.place)).label("the second one");
                    reader.problems.push(problem.help("parts of one arm are written as [[arm.block]]"));
                }
                // An arm of an extended file is replaced.
                Some(known) => *known = arm,
                None => self.arms.push(arm),
            }
        }
    }

    /// Adds an override, `--set key=value`.
    pub(crate) fn add_override(&mut self, key: &str, value: &str) {
        let text = format!("{key}={value}");
        let source: Source = Arc::new(NamedSource::new("--set", text));
        let segments: Vec<&str> = key.split('.').map(str::trim).collect();
        let is_question = segments.first() == Some(&"experiment") && segments.len() > 1;
        let mut reader = Reader::new(source.clone(), 0);
        let located =
            if is_question { locate(&Question::TABLE, &segments[1..]) } else { locate(&Settings::TABLE, &segments) };
        match located {
            Ok(located) => {
                let mut reader = Reader::new(source, key.len() + 1);
                let raw = parse_value(&mut reader, value);
                if let Some(raw) = raw
                    && let Some(value) = reader.value(&raw, &located.kind, key)
                {
                    let place = reader.place(raw.span());
                    let assignment = Assignment { path: located.path, value, place };
                    if is_question {
                        self.question.push(assignment);
                    } else {
                        self.overrides.push(assignment);
                    }
                }
                self.problems.append(&mut reader.problems);
            }
            Err(missing) => {
                reader.unknown(0..key.len(), &missing);
                self.problems.append(&mut reader.problems);
            }
        }
    }
}

impl Block {
    /// Adds a later file's statements: its axes replace equal ones.
    fn extend(&mut self, later: Self) {
        let replaced =
            |axis: &Axis| later.grid.iter().chain(later.zip.iter().flatten()).any(|new| new.path == axis.path);
        self.grid.retain(|axis| !replaced(axis));
        self.zip.retain(|group| !group.iter().any(replaced));
        self.set.extend(later.set);
        self.grid.extend(later.grid);
        self.zip.extend(later.zip);
        self.when.extend(later.when);
        self.exclude.extend(later.exclude);
    }
}

/// The value of an override: TOML, or a bare word.
fn parse_value<'a>(reader: &mut Reader, text: &'a str) -> Option<Raw<'a>> {
    let (value, errors) = DeValue::parse_recoverable(text);
    if errors.is_empty() {
        return Some(value);
    }
    let bare = !text.trim_start().starts_with(['[', '{', '"', '\'']);
    if bare {
        return Some(toml::Spanned::new(0..text.len(), DeValue::String(text.into())));
    }
    for error in errors {
        reader.problem(error.span().unwrap_or(0..text.len()), format!("invalid TOML value: {}", error.message()), None);
    }
    None
}

fn entries<'t, 'a>(table: &'t DeTable<'a>) -> impl Iterator<Item = (&'t Raw<'a>, &'t str)> {
    table.iter().map(|(key, raw)| (raw, key.get_ref().as_ref()))
}

fn read_arms(reader: &mut Reader, raw: &Raw<'_>) -> Vec<ArmText> {
    let mut arms = Vec::new();
    for (span, table) in reader.tables(raw, "arm") {
        let mut all = Block::default();
        let mut blocks = Vec::new();
        let mut name = None;
        for (key, raw) in table {
            let Some(field) = reader.field(key, &ARM, "arm") else { continue };
            match field.name {
                "name" => name = reader.value(raw, &Kind::Text, "arm.name").map(|value| (value, raw.span())),
                "block" => {
                    for (_, table) in reader.tables(raw, "arm.block") {
                        let mut block = Block::default();
                        for (key, raw) in table {
                            if let Some(field) = reader.field(key, &BLOCK, "arm.block") {
                                read_block_key(reader, field.name, raw, &mut block);
                            }
                        }
                        blocks.push(block);
                    }
                }
                key => read_block_key(reader, key, raw, &mut all),
            }
        }
        match name {
            Some((Value::String(name), span)) if !name.trim().is_empty() => {
                arms.push(ArmText { name, place: reader.place(span), all, blocks });
            }
            _ if table.contains_key("name") => {
                let known = DeString::from("name");
                let span = table.get_key_value(known.as_ref()).map_or(span, |(key, _)| key.span());
                reader.problem(span, "an arm's name must not be empty", None);
            }
            _ => reader.problem(span, "an arm has no name", Some("add `name = \"…\"` to the [[arm]]".into())),
        }
    }
    arms
}

fn read_block_key(reader: &mut Reader, key: &str, raw: &Raw<'_>, block: &mut Block) {
    match key {
        "set" => {
            if let Some(table) = reader.table(raw, "set") {
                block.set.extend(reader.assignments(table, &Settings::TABLE));
            }
        }
        "grid" => {
            if let Some(table) = reader.table(raw, "grid") {
                block.grid.extend(reader.axes(table, &Settings::TABLE));
            }
        }
        "zip" => {
            for (span, table) in reader.tables(raw, "zip") {
                let group = reader.axes(table, &Settings::TABLE);
                if let Some((first, other)) = group
                    .split_first()
                    .and_then(|(f, rest)| Some((f, rest.iter().find(|a| a.values.len() != f.values.len())?)))
                {
                    let message = format!(
                        "the axes of a `zip` differ in length: `{}` has {}, `{}` has {}",
                        first.path.join("."),
                        first.values.len(),
                        other.path.join("."),
                        other.values.len()
                    );
                    reader.problem(
                        span,
                        message,
                        Some("zipped axes go together, value by value; `grid` crosses them".into()),
                    );
                } else if !group.is_empty() {
                    block.zip.push(group);
                }
            }
        }
        "when" => {
            for (span, table) in reader.tables(raw, "when") {
                let mut when = When { is: Vec::new(), set: Vec::new() };
                for (key, raw) in table {
                    let Some(field) = reader.field(key, &WHEN, "when") else { continue };
                    if let Some(table) = reader.table(raw, field.name) {
                        let assignments = reader.assignments(table, &Settings::TABLE);
                        if field.name == "is" { when.is = assignments } else { when.set = assignments }
                    }
                }
                if !table.contains_key("is") || !table.contains_key("set") {
                    reader.problem(
                        span,
                        "a `when` needs both `is` and `set`",
                        Some("`is` is the condition, `set` what then holds".into()),
                    );
                }
                block.when.push(when);
            }
        }
        "exclude" => {
            for (_, table) in reader.tables(raw, "exclude") {
                let condition = reader.assignments(table, &Settings::TABLE);
                if !condition.is_empty() {
                    block.exclude.push(condition);
                }
            }
        }
        _ => {}
    }
}

/// `a/b/../c` is `a/c`: circles of `extends` are seen, and messages are short.
fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir
                if matches!(out.components().next_back(), Some(std::path::Component::Normal(_))) =>
            {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}
