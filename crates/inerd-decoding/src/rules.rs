//! The masking rules as a composable set.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// One masking rule. Rules only ever remove tokens, so adding one never allows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rule {
    Structure,
    Types,
    Copy,
    Bigram,
    Span,
    WordBoundary,
    Ordered,
    NoOverlap,
    NoRepeat,
    MaxSpan,
    MaxEntities,
}

/// A row of the table of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleDoc {
    pub rule: Rule,
    /// As it is written in an experiment file.
    pub name: &'static str,
    /// What the rule takes away.
    pub forbids: &'static str,
    /// Which gold answers the rule claims to leave possible.
    pub claims: &'static str,
    /// The rules whose bookkeeping this one refines and can't do without.
    pub needs: &'static [Rule],
}

impl Rule {
    /// The one table of rules, in the order in which the mask audit applies them.
    pub const TABLE: [RuleDoc; 11] = [
        RuleDoc {
            rule: Rule::Structure,
            name: "structure",
            forbids: "sections out of order: an empty type or content, a missing separator, an end inside an entity",
            claims: "all; where no other rule lists the words of a section, those that hold no separator",
            needs: &[],
        },
        RuleDoc {
            rule: Rule::Types,
            name: "types",
            forbids: "in a type, whatever does not continue the name of a type (prefix trie: each one is reachable)",
            claims: "entities whose type is in the schema",
            needs: &[],
        },
        RuleDoc {
            rule: Rule::Copy,
            name: "copy",
            forbids: "in a content, tokens that the sentence does not hold (as it writes them or behind a space)",
            claims: "whole-word entities",
            needs: &[],
        },
        RuleDoc {
            rule: Rule::Bigram,
            name: "bigram",
            forbids: "in a content, a token that nowhere in the sentence follows the token before it (rule 4b)",
            claims: "whole-word entities",
            needs: &[],
        },
        RuleDoc {
            rule: Rule::Span,
            name: "span",
            forbids: "a content that is not a contiguous span of the sentence",
            claims: "token level: entities that begin and end where a word or a token does; text level: all",
            needs: &[],
        },
        RuleDoc {
            rule: Rule::WordBoundary,
            name: "word-boundary",
            forbids: "a content that begins or ends inside a word",
            claims: "whole-word entities; none that cuts a word",
            needs: &[Rule::Span],
        },
        RuleDoc {
            rule: Rule::Ordered,
            name: "ordered",
            forbids: "an entity that begins before the one written last",
            claims: "entities in text order, nested ones included",
            needs: &[Rule::Span],
        },
        RuleDoc {
            rule: Rule::NoOverlap,
            name: "no-overlap",
            forbids: "an entity that shares text with an earlier one",
            claims: "flat entities in text order",
            needs: &[Rule::Span],
        },
        RuleDoc {
            rule: Rule::NoRepeat,
            name: "no-repeat",
            forbids: "the same type and content more often than the sentence holds the content",
            claims: "all that differ in type or place; inside words only contents that are no whole word of the sentence",
            needs: &[Rule::Span, Rule::Types],
        },
        RuleDoc {
            rule: Rule::MaxSpan,
            name: "max-span",
            forbids: "a content of more than N words (runs of letters and digits, or single other characters)",
            claims: "entities of at most N words",
            needs: &[Rule::Span],
        },
        RuleDoc {
            rule: Rule::MaxEntities,
            name: "max-entities",
            forbids: "more than N entities",
            claims: "answers of at most N entities",
            needs: &[],
        },
    ];

    /// The table as Markdown, for people.
    pub fn markdown() -> String {
        let mut out = String::from("| rule | forbids | claims to allow | needs |\n|---|---|---|---|\n");
        for RuleDoc { name, forbids, claims, needs, .. } in Self::TABLE {
            let needs: Vec<String> = needs.iter().map(|rule| format!("`{}`", rule.name())).collect();
            // Writing to a string can't fail.
            let _ = writeln!(out, "| `{name}` | {forbids} | {claims} | {} |", needs.join(", "));
        }
        out
    }

    pub const fn doc(self) -> &'static RuleDoc {
        &Self::TABLE[self as usize]
    }

    pub const fn name(self) -> &'static str {
        self.doc().name
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Which tokenisations of a content are allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// The canonical one only: the tokens of the sentence itself.
    #[default]
    Token,
    /// Any that spells a span of the sentence, by bytes.
    Text,
}

/// The rules in force. Build them from [`RuleSettings`] or a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    set: u16,
    /// Longest content in words, under `max-span`.
    pub(crate) max_span: u32,
    /// Most entities, under `max-entities`.
    pub(crate) max_entities: u32,
    pub(crate) granularity: Granularity,
    /// The defects of the authors' code, in place of the rules above.
    pub(crate) authors_code: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self::exact()
    }
}

impl Rules {
    const fn of(rules: &[Rule]) -> Self {
        let mut set = 0;
        let mut i = 0;
        while i < rules.len() {
            set |= rules[i].bit();
            i += 1;
        }
        Self { set, max_span: u32::MAX, max_entities: u32::MAX, granularity: Granularity::Token, authors_code: false }
    }

    /// Free generation.
    pub const fn none() -> Self {
        Self::of(&[])
    }

    /// The rules as published (Algorithm 1): structure, types, and the input's bigrams.
    pub const fn paper() -> Self {
        Self::of(&[Rule::Structure, Rule::Types, Rule::Copy, Rule::Bigram])
    }

    /// What the authors' public code does, defects included.
    pub const fn paper_code() -> Self {
        let mut rules = Self::paper();
        rules.authors_code = true;
        rules
    }

    /// No entity outside the text or the type set, whole words.
    pub const fn exact() -> Self {
        Self::of(&[Rule::Structure, Rule::Types, Rule::Copy, Rule::Bigram, Rule::Span, Rule::WordBoundary])
    }

    pub const fn contains(&self, rule: Rule) -> bool {
        self.set & rule.bit() != 0
    }

    /// The rules in force, in the order of [`Rule::TABLE`].
    pub fn iter(&self) -> impl Iterator<Item = Rule> + '_ {
        Rule::TABLE.iter().map(|doc| doc.rule).filter(|&rule| self.contains(rule))
    }

    #[must_use]
    pub const fn with(mut self, rule: Rule) -> Self {
        self.set |= rule.bit();
        self
    }

    /// The same limits and granularity, without any rule.
    pub(crate) const fn emptied(self) -> Self {
        Self { set: 0, authors_code: false, ..self }
    }

    #[must_use]
    pub const fn without(mut self, rule: Rule) -> Self {
        self.set &= !rule.bit();
        self
    }

    /// With `max-span`: contents of at most `words` words.
    #[must_use]
    pub const fn with_max_span(mut self, words: u32) -> Self {
        self.max_span = words;
        self.with(Rule::MaxSpan)
    }

    /// With `max-entities`.
    #[must_use]
    pub const fn with_max_entities(mut self, entities: u32) -> Self {
        self.max_entities = entities;
        self.with(Rule::MaxEntities)
    }

    #[must_use]
    pub const fn at(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }

    /// The longest content in words, if there is a limit.
    pub fn max_span(&self) -> Option<u32> {
        self.contains(Rule::MaxSpan).then_some(self.max_span)
    }

    /// The most entities, if there is a limit.
    pub fn max_entities(&self) -> Option<u32> {
        self.contains(Rule::MaxEntities).then_some(self.max_entities)
    }

    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Whether nothing at all is forbidden.
    pub const fn is_free(&self) -> bool {
        self.set == 0
    }

    /// Every rule's company is there.
    pub fn check(&self) -> Result<(), Error> {
        for doc in self.iter().map(Rule::doc) {
            if let Some(needs) = doc.needs.iter().find(|&&needs| !self.contains(needs)) {
                return Err(Error::Missing { rule: doc.name, needs: needs.name() });
            }
        }
        Ok(())
    }
}

/// The rules as an experiment file names them: a preset (`"exact"`) or a list of presets and rules
/// (`["exact", "no-overlap", "max-span=12"]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSettings {
    names: Vec<String>,
    rules: Rules,
}

/// The presets by name.
pub const PRESETS: [(&str, Rules); 4] = [
    ("none", Rules::none()),
    ("paper", Rules::paper()),
    ("paper-code", Rules::paper_code()),
    ("exact", Rules::exact()),
];

impl Default for RuleSettings {
    fn default() -> Self {
        Self { names: vec!["exact".to_owned()], rules: Rules::exact() }
    }
}

/// A name that is neither a preset nor a rule, or a set of rules that does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the rules: {0}")]
pub struct InvalidRules(String);

impl RuleSettings {
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, InvalidRules> {
        let mut rules = Rules::none();
        let mut kept = Vec::new();
        for name in names {
            let name = name.as_ref().trim();
            add(&mut rules, name)?;
            kept.push(name.to_owned());
        }
        if rules.authors_code && rules != Rules::paper_code() {
            return Err(InvalidRules("`paper-code` stands alone; it can't be combined with other rules".to_owned()));
        }
        rules.check().map_err(|e| InvalidRules(e.to_string()))?;
        Ok(Self { names: kept, rules })
    }

    pub fn rules(&self) -> Rules {
        self.rules
    }
}

fn add(rules: &mut Rules, name: &str) -> Result<(), InvalidRules> {
    if let Some((_, preset)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
        rules.set |= preset.set;
        rules.authors_code |= preset.authors_code;
        return Ok(());
    }
    let (key, limit) = name.split_once('=').map_or((name, None), |(key, limit)| (key.trim(), Some(limit.trim())));
    let Some(doc) = Rule::TABLE.iter().find(|doc| doc.name == key) else {
        let known = || PRESETS.iter().map(|(name, _)| *name).chain(Rule::TABLE.iter().map(|doc| doc.name));
        let nearest = known().min_by_key(|name| distance(name, key)).unwrap_or_default();
        let all: Vec<&str> = known().collect();
        return Err(InvalidRules(format!(
            "unknown rule `{key}`; did you mean `{nearest}`? known are {}",
            all.join(", ")
        )));
    };
    let field = match doc.rule {
        Rule::MaxSpan => Some(&mut rules.max_span),
        Rule::MaxEntities => Some(&mut rules.max_entities),
        _ => None,
    };
    match (field, limit) {
        (Some(field), Some(limit)) => {
            *field = (limit.parse().ok().filter(|&n| n > 0))
                .ok_or_else(|| InvalidRules(format!("`{key}` takes a number above 0, not `{limit}`")))?;
        }
        (None, None) => {}
        (Some(_), None) => return Err(InvalidRules(format!("`{key}` needs a limit, as in `{key}=8`"))),
        (None, Some(_)) => return Err(InvalidRules(format!("`{key}` takes no limit"))),
    }
    *rules = rules.with(doc.rule);
    Ok(())
}

/// How many letters have to be added, dropped or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

impl FromStr for RuleSettings {
    type Err = InvalidRules;

    /// A comma-separated list, as on a command line.
    fn from_str(s: &str) -> Result<Self, InvalidRules> {
        Self::new(s.split(',').filter(|part| !part.trim().is_empty()))
    }
}

impl fmt::Display for RuleSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(","))
    }
}

impl Serialize for RuleSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.names.as_slice() {
            [one] => serializer.serialize_str(one),
            names => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RuleSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = RuleSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a preset or a list of rules")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<RuleSettings, E> {
                RuleSettings::new([name]).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RuleSettings, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element::<String>()? {
                    names.push(name);
                }
                RuleSettings::new(names).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Names)
    }
}
