//! Grammars: `data/grammars/<name>.toml`, compiled and checked.
//!
//! A template is a line of words separated by spaces, with
//! - `{list}`: a random alternative of the list (an alternative may hold references itself);
//! - `[Type]`: a mention of the type, or of a type below it in the hierarchy;
//! - `{Type.cue}`: a word that goes with the type chosen for `[Type]` in this template ("painter" for "Painter").

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use serde::Deserialize;

use crate::naming::nearest;
use crate::stream::stream;
use crate::{Error, Result, embedded};

/// The version of the grammar format that this code reads.
const GRAMMAR_FORMAT: u32 = 1;
/// References nest at most this deep; a deeper grammar is recursive by mistake.
const DEPTH: usize = 12;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GrammarToml {
    format: u32,
    #[expect(dead_code, reason = "documents the grammar for its readers")]
    description: String,
    types: BTreeMap<String, TypeToml>,
    /// Clauses with mentions.
    templates: Vec<String>,
    /// Clauses without mentions.
    plain: Vec<String>,
    /// What may stand between two clauses.
    links: Vec<String>,
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    /// Names composed of parts, one of each.
    #[serde(default)]
    names: BTreeMap<String, NamesToml>,
    /// Lists of `lists` whose words are names: some of them never stand in the training set.
    #[serde(default)]
    open: Vec<String>,
    /// Type → how it is mentioned. A type without mentions of its own uses those of the type above it.
    mentions: BTreeMap<String, Vec<String>>,
    /// Type → mentions whose edges are hard to find ("University of {town} , {town}").
    #[serde(default)]
    boundary: BTreeMap<String, Vec<String>>,
    /// List → lists that it may borrow words from, which makes the words ambiguous.
    #[serde(default)]
    borrows: BTreeMap<String, Vec<String>>,
    /// The same in a second language.
    #[serde(default)]
    second: Option<SecondToml>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeToml {
    #[serde(default)]
    under: Option<String>,
    #[serde(default)]
    cue: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamesToml {
    size: usize,
    parts: Vec<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecondToml {
    #[expect(dead_code, reason = "documents the grammar for its readers")]
    language: String,
    templates: Vec<String>,
    plain: Vec<String>,
    links: Vec<String>,
    /// Replaces lists of the same name.
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Space,
    List(String),
    Mention(String),
    Cue(String),
}

pub(super) type Template = Vec<Piece>;

/// A list of alternatives. Open lists keep some back for the evaluation splits.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) seen: Vec<Template>,
    pub(super) held_out: Vec<Template>,
}

/// Clauses of one language.
#[derive(Debug)]
pub(super) struct Clauses {
    pub(super) templates: Vec<Template>,
    pub(super) plain: Vec<Template>,
    pub(super) links: Vec<Template>,
    pub(super) lists: BTreeMap<String, List>,
}

#[derive(Debug)]
pub(super) struct TypeNode {
    pub(super) under: Option<String>,
    pub(super) children: Vec<String>,
    pub(super) cue: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Grammar {
    pub(super) types: BTreeMap<String, TypeNode>,
    pub(super) first: Clauses,
    pub(super) second: Option<Clauses>,
    pub(super) mentions: BTreeMap<String, Vec<Template>>,
    pub(super) boundary: BTreeMap<String, Vec<Template>>,
    pub(super) borrows: BTreeMap<String, Vec<String>>,
}

/// The text of an embedded grammar.
pub(super) fn source(name: &str) -> Result<&'static str> {
    embedded::GRAMMARS.iter().find(|(stem, _)| *stem == name).map(|&(_, text)| text).ok_or_else(|| {
        let near = nearest(name, embedded::GRAMMARS.iter().map(|g| g.0));
        let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
        Error::Card { what: "grammar", name: name.to_owned(), reason: format!("there is none of this name{hint}") }
    })
}

impl Grammar {
    /// Compiles a grammar. Of every open list the share `held_out` is kept back.
    pub(super) fn parse(name: &str, text: &str, held_out: f64) -> Result<Self> {
        let fail = |reason: String| Error::Card { what: "grammar", name: name.to_owned(), reason };
        let toml: GrammarToml = toml::from_str(text).map_err(|e| fail(e.to_string()))?;
        if toml.format != GRAMMAR_FORMAT {
            return Err(fail(format!("its format is {}, this program reads {GRAMMAR_FORMAT}", toml.format)));
        }
        Self::compile(toml, held_out).map_err(fail)
    }

    fn compile(toml: GrammarToml, held_out: f64) -> std::result::Result<Self, String> {
        let mut types: BTreeMap<String, TypeNode> = (toml.types.into_iter())
            .map(|(name, t)| (name, TypeNode { under: t.under, children: Vec::new(), cue: t.cue }))
            .collect();
        let below: Vec<(String, String)> =
            types.iter().filter_map(|(name, t)| Some((t.under.clone()?, name.clone()))).collect();
        for (parent, child) in below {
            let node =
                types.get_mut(&parent).ok_or_else(|| format!("`{child}` is under `{parent}`, which is no type"))?;
            node.children.push(child);
        }

        let open: BTreeSet<&String> = toml.open.iter().collect();
        let mut lists = BTreeMap::new();
        for (name, alternatives) in &toml.lists {
            let kept = if open.contains(name) { held_out } else { 0.0 };
            lists.insert(name.clone(), list(name, &templates(alternatives)?, kept));
        }
        for (name, names) in &toml.names {
            let composed = compose(name, names)?;
            if lists.insert(name.clone(), list(name, &composed, held_out)).is_some() {
                return Err(format!("`{name}` is both in `lists` and in `names`"));
            }
        }
        let second = match toml.second {
            None => None,
            Some(second) => {
                let mut own: BTreeMap<String, List> = BTreeMap::new();
                for (name, alternatives) in &second.lists {
                    own.insert(name.clone(), list(name, &templates(alternatives)?, 0.0));
                }
                Some(Clauses {
                    templates: templates(&second.templates)?,
                    plain: templates(&second.plain)?,
                    links: templates(&second.links)?,
                    lists: own,
                })
            }
        };
        let compiled = |all: &BTreeMap<String, Vec<String>>| {
            all.iter()
                .map(|(k, v)| Ok((k.clone(), templates(v)?)))
                .collect::<std::result::Result<BTreeMap<_, _>, String>>()
        };
        let grammar = Self {
            types,
            first: Clauses {
                templates: templates(&toml.templates)?,
                plain: templates(&toml.plain)?,
                links: templates(&toml.links)?,
                lists,
            },
            second,
            mentions: compiled(&toml.mentions)?,
            boundary: compiled(&toml.boundary)?,
            borrows: toml.borrows,
        };
        grammar.check()?;
        Ok(grammar)
    }

    /// Everything that a template names must exist, and nothing may refer to itself.
    fn check(&self) -> std::result::Result<(), String> {
        for name in self.types.keys() {
            if self.mention_rule(name).is_none() {
                return Err(format!("the type `{name}` has no mentions, nor has any type above it"));
            }
            if self.ancestors(name).count() > DEPTH {
                return Err(format!("the type `{name}` is under itself"));
            }
        }
        for (list, from) in &self.borrows {
            for name in from.iter().chain([list]) {
                if !self.first.lists.contains_key(name) {
                    return Err(format!("`borrows` names the list `{name}`, which does not exist"));
                }
            }
        }
        for name in self.mentions.keys().chain(self.boundary.keys()) {
            if !self.types.contains_key(name) {
                return Err(format!("mentions of `{name}`, which is no type"));
            }
        }
        for clauses in [Some(&self.first), self.second.as_ref()].into_iter().flatten() {
            if clauses.templates.is_empty() || clauses.plain.is_empty() || clauses.links.is_empty() {
                return Err("`templates`, `plain` and `links` each need a line".to_owned());
            }
            let lines = clauses.templates.iter().chain(&clauses.plain).chain(&clauses.links);
            for template in lines {
                self.check_template(clauses, template, 0)?;
            }
            for template in self.mentions.values().chain(self.boundary.values()).flatten() {
                self.check_template(clauses, template, 1)?;
            }
        }
        Ok(())
    }

    fn check_template(&self, clauses: &Clauses, template: &Template, depth: usize) -> std::result::Result<(), String> {
        if depth > DEPTH {
            return Err("a list refers to itself".to_owned());
        }
        for piece in template {
            match piece {
                Piece::Text(_) | Piece::Space => {}
                Piece::List(name) => {
                    let list = (clauses.lists.get(name).or_else(|| self.first.lists.get(name)))
                        .ok_or_else(|| format!("`{{{name}}}` is no list"))?;
                    if list.seen.is_empty() {
                        return Err(format!("the list `{name}` is empty"));
                    }
                    for alternative in list.seen.iter().chain(&list.held_out) {
                        self.check_template(clauses, alternative, depth + 1)?;
                    }
                }
                Piece::Mention(name) => {
                    if !self.types.contains_key(name) {
                        return Err(format!("`[{name}]` is no type"));
                    }
                    // A mention inside a mention inside a mention …: bounded like everything else.
                    if depth > 0 {
                        for leaf in self.leaves(name) {
                            for alternative in self.mention_rule(leaf).into_iter().flatten() {
                                self.check_template(clauses, alternative, depth + 1)?;
                            }
                        }
                    }
                }
                Piece::Cue(name) => {
                    let any = self.types.contains_key(name) && self.leaves(name).iter().all(|l| self.cue(l).is_some());
                    if !any {
                        return Err(format!("`{{{name}.cue}}`: not every type under `{name}` has a cue"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The type itself and those above it, nearest first.
    pub(super) fn ancestors<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let up = |name: &&'a str| self.types.get(*name)?.under.as_deref();
        std::iter::successors(Some(name), up).take(DEPTH + 2)
    }

    pub(super) fn mention_rule(&self, name: &str) -> Option<&[Template]> {
        self.ancestors(name).find_map(|t| self.mentions.get(t)).map(Vec::as_slice)
    }

    pub(super) fn boundary_rule(&self, name: &str) -> Option<&[Template]> {
        self.ancestors(name).find_map(|t| self.boundary.get(t)).map(Vec::as_slice)
    }

    pub(super) fn cue(&self, name: &str) -> Option<&[String]> {
        self.types.get(name).map(|t| t.cue.as_slice()).filter(|c| !c.is_empty())
    }

    /// The types without children at or below this one, sorted.
    pub(super) fn leaves<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.types
            .iter()
            .filter(|(leaf, node)| node.children.is_empty() && self.ancestors(leaf).any(|a| a == name))
            .map(|(leaf, _)| leaf.as_str())
            .collect()
    }
}

fn templates(lines: &[String]) -> std::result::Result<Vec<Template>, String> {
    lines.iter().map(|line| template(line)).collect()
}

/// Parses one template.
fn template(line: &str) -> std::result::Result<Template, String> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '{' => '}',
            '[' => ']',
            ' ' => {
                pieces.push(Piece::Space);
                rest = rest.trim_start();
                continue;
            }
            _ => {
                let end = rest.find([' ', '{', '[']).unwrap_or(rest.len());
                pieces.push(Piece::Text(rest[..end].to_owned()));
                rest = &rest[end..];
                continue;
            }
        };
        let (name, after) = rest[1..].split_once(close).ok_or_else(|| format!("`{line}`: `{first}` is not closed"))?;
        pieces.push(match (first, name.strip_suffix(".cue")) {
            ('[', _) => Piece::Mention(name.to_owned()),
            (_, Some(kind)) => Piece::Cue(kind.to_owned()),
            (_, None) => Piece::List(name.to_owned()),
        });
        rest = after;
    }
    Ok(pieces)
}

/// Splits a list's alternatives into those that training may use and those kept back, in an order of its own.
fn list(name: &str, alternatives: &[Template], held_out: f64) -> List {
    let mut shuffled = alternatives.to_vec();
    shuffled.shuffle(&mut stream(&format!("held out of {name}"), 0));
    let kept = ((shuffled.len() as f64 * held_out).round() as usize).min(shuffled.len().saturating_sub(1));
    let held_out = shuffled.split_off(shuffled.len() - kept);
    List { seen: shuffled, held_out }
}

/// `size` of all combinations of one of each part.
fn compose(name: &str, names: &NamesToml) -> std::result::Result<Vec<Template>, String> {
    let mut all = vec![String::new()];
    for part in &names.parts {
        all = all.iter().flat_map(|start| part.iter().map(move |end| format!("{start}{end}"))).collect();
    }
    all.sort();
    all.dedup();
    if all.len() < names.size {
        return Err(format!("the parts of `{name}` give {} names, not {}", all.len(), names.size));
    }
    all.shuffle(&mut stream(&format!("names {name}"), 0));
    all.truncate(names.size);
    templates(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_grammar_compiles() {
        for (name, text) in embedded::GRAMMARS {
            if let Err(error) = Grammar::parse(name, text, 0.2) {
                panic!("{error}");
            }
        }
    }

    #[test]
    fn templates_are_words_lists_mentions_and_cues() {
        let parsed = template("the {Person.cue} [Person] of {town}ville .").unwrap();
        let text = |t: &str| Piece::Text(t.to_owned());
        let expected = [
            text("the"),
            Piece::Space,
            Piece::Cue("Person".to_owned()),
            Piece::Space,
            Piece::Mention("Person".to_owned()),
            Piece::Space,
            text("of"),
            Piece::Space,
            Piece::List("town".to_owned()),
            text("ville"),
            Piece::Space,
            text("."),
        ];
        assert_eq!(parsed, expected);
        assert!(template("a {b").is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let head = "format = 1\ndescription = \"\"\nlinks = [\"and\"]\nplain = [\"no\"]\n";
        let body = |templates: &str, rest: &str| {
            let text = format!("{head}templates = [\"{templates}\"]\n{rest}");
            Grammar::parse("g", &text, 0.0).map(|_| ()).map_err(|e| e.to_string())
        };
        let fine = "[types]\nA = {}\n[mentions]\nA = [\"x\"]\n";
        body("[A] ran", fine).unwrap();
        for (templates, rest, reason) in [
            ("[B] ran", fine.to_owned(), "`[B]` is no type"),
            ("{b} ran", fine.to_owned(), "`{b}` is no list"),
            ("the {A.cue}", fine.to_owned(), "not every type under `A` has a cue"),
            ("{l}", format!("{fine}[lists]\nl = [\"{{l}}\"]\n"), "refers to itself"),
            ("{n}", format!("{fine}[names]\nn = {{ size = 3, parts = [[\"a\"]] }}\n"), "give 1 names, not 3"),
            ("[A]", "[types]\nA = { under = \"B\" }\n[mentions]\n".to_owned(), "which is no type"),
            ("[A]", "[types]\nA = {}\n[mentions]\n".to_owned(), "has no mentions"),
            ("[A]", "[types]\nA = { under = \"A\" }\n[mentions]\nA = [\"x\"]\n".to_owned(), "is under itself"),
        ] {
            let error = body(templates, &rest).unwrap_err();
            assert!(error.contains(reason), "{templates}: {error}");
        }
    }
}
