//! What a corpus holds and what is doubtful about it: `inerd data stats` and `inerd data check`.

use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Sentence, Span};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::gazetteer::Gazetteer;
use crate::overlap::{Sameness, overlap};
use crate::report::{Counts, ReadReport};
use crate::sheet::Sheet;
use crate::{Corpus, GazetteerScore};

/// How many examples a finding lists.
const EXAMPLES: usize = 5;

/// Counts of a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub name: String,
    /// Split → counts, in the order train, valid, test.
    pub splits: Vec<(String, Counts)>,
    /// Test mentions whose surface stands in the training set with the same type, in 0..=1.
    pub seen_mentions: f64,
}

impl Stats {
    pub fn of(corpus: &Corpus) -> Self {
        let splits = corpus.splits().map(|(name, sentences)| (name.to_owned(), Counts::of(sentences)));
        let mentions = |sentences: &'_ [Sentence]| -> Vec<(String, String)> {
            let pairs =
                sentences.iter().flat_map(|s| s.entities.iter().map(|e| (s.surface(e).to_owned(), e.kind.clone())));
            pairs.collect()
        };
        let train: BTreeSet<(String, String)> = mentions(&corpus.train).into_iter().collect();
        let test = mentions(&corpus.test);
        let seen = test.iter().filter(|m| train.contains(m)).count();
        Self {
            name: corpus.name.clone(),
            splits: splits.into(),
            seen_mentions: if test.is_empty() { 0.0 } else { seen as f64 / test.len() as f64 },
        }
    }

    /// Sizes per split, and mentions per type and split.
    pub fn sheets(&self) -> Vec<Sheet> {
        let header = ["split", "sentences", "tokens", "entities", "types", "label-free", "label-free %", "longest"];
        let mut sizes = Sheet::new(format!("{}: sizes", self.name), &header);
        for (split, c) in &self.splits {
            let share = percent(c.label_free, c.sentences);
            let numbers = [c.sentences, c.tokens, c.entities, c.types.len(), c.label_free].map(|n| n.to_string());
            sizes.row([split.clone()].into_iter().chain(numbers).chain([share, c.longest.to_string()]));
        }
        let header: Vec<&str> = ["type"].into_iter().chain(self.splits.iter().map(|s| s.0.as_str())).collect();
        let mut types = Sheet::new(format!("{}: mentions per type", self.name), &header);
        let names: BTreeSet<&String> = self.splits.iter().flat_map(|(_, c)| c.types.keys()).collect();
        for name in names {
            let counts = self.splits.iter().map(|(_, c)| c.types.get(name).copied().unwrap_or(0).to_string());
            types.row([name.clone()].into_iter().chain(counts));
        }
        vec![sizes, types]
    }
}

/// What a check should know of a tokenizer and a model, and how near is too near.
pub struct CheckOptions<'a> {
    /// Byte spans of a text's tokens, in order. White space may belong to a token's beginning.
    pub tokenize: Option<&'a (dyn Fn(&str) -> Vec<Span> + Sync)>,
    /// Tokens that a model reads at once.
    pub context: Option<usize>,
    pub sameness: Sameness,
}

impl std::fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckOptions")
            .field("context", &self.context)
            .field("sameness", &self.sameness)
            .finish_non_exhaustive()
    }
}

/// A number of cases, with a few of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub count: usize,
    /// Out of how many.
    pub of: usize,
    pub examples: Vec<String>,
}

impl Finding {
    fn collect(of: usize, cases: impl IntoIterator<Item = String>) -> Self {
        let mut finding = Self { of, ..Self::default() };
        for case in cases {
            finding.count += 1;
            if finding.examples.len() < EXAMPLES {
                finding.examples.push(case);
            }
        }
        finding
    }
}

/// What is doubtful about a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub read: ReadReport,
    /// Test (and validation) sentences that stand, or nearly stand, in the training set.
    pub test_in_train: Finding,
    pub valid_in_train: Finding,
    /// Surfaces with more than one type in the training set.
    pub ambiguous_surfaces: Finding,
    /// Mentions that lie inside or across others.
    pub overlapping_mentions: Finding,
    /// Mentions whose edges are no edges of tokens: no mask over this tokenizer's tokens can emit them.
    pub unwritable_mentions: Option<Finding>,
    /// Sentences that with their answer are longer than the context.
    pub too_long: Option<Finding>,
    /// Type → tokens of its name.
    pub type_tokens: BTreeMap<String, usize>,
    /// Types of the test set that the training set does not have.
    pub unseen_types: Vec<String>,
    /// The score of a lookup of the training mentions on the test set.
    pub gazetteer: GazetteerScore,
}

/// Checks a corpus.
pub fn check(corpus: &Corpus, options: &CheckOptions<'_>) -> Check {
    let all: Vec<&Sentence> = corpus.splits().into_iter().flat_map(|(_, s)| s).collect();
    let train: Vec<&Sentence> = corpus.train.iter().collect();
    let repeated = |sentences: &[Sentence]| {
        let sentences: Vec<&Sentence> = sentences.iter().collect();
        let pairs = overlap(&sentences, &train, options.sameness);
        let describe = |p: &crate::Pair| {
            let left = sentences.get(p.left)?;
            let right = train.get(p.right)?;
            Some(format!("{} = {} ({:.2}): {}", left.id, right.id, p.similarity, shorten(&left.text)))
        };
        Finding::collect(sentences.len(), pairs.iter().filter_map(describe))
    };
    let mentions: usize = all.iter().map(|s| s.entities.len()).sum();
    let unwritable = options.tokenize.map(|tokenize| {
        let cases: Vec<String> = all.par_iter().flat_map_iter(|s| unwritable(s, &tokenize(&s.text))).collect();
        Finding::collect(mentions, cases)
    });
    let too_long = options.tokenize.zip(options.context).map(|(tokenize, context)| {
        let length = |s: &&Sentence| {
            // The prompt, a line break, per mention its type, two separators and its content, and end-of-sequence.
            let answer =
                |e: &inerd_text::Entity| tokenize(&format!(" {}", e.kind)).len() + tokenize(s.surface(e)).len() + 2;
            let total = tokenize(&s.text).len() + 2 + s.entities.iter().map(answer).sum::<usize>();
            (total > context).then(|| format!("{}: {total} tokens", s.id))
        };
        let cases: Vec<String> = all.par_iter().filter_map(length).collect();
        Finding::collect(all.len(), cases)
    });
    let type_tokens = options.tokenize.map_or_else(BTreeMap::new, |tokenize| {
        corpus.schema.types().iter().map(|t| (t.clone(), tokenize(&format!(" {t}")).len())).collect()
    });
    let (trained, tested) = (Counts::of(&corpus.train).types, Counts::of(&corpus.test).types);
    Check {
        name: corpus.name.clone(),
        read: corpus.report.clone(),
        test_in_train: repeated(&corpus.test),
        valid_in_train: repeated(&corpus.valid),
        ambiguous_surfaces: ambiguous(&corpus.train),
        overlapping_mentions: Finding::collect(mentions, all.iter().flat_map(|s| overlapping(s))),
        unwritable_mentions: unwritable,
        too_long,
        type_tokens,
        unseen_types: tested.into_keys().filter(|t| !trained.contains_key(t)).collect(),
        gazetteer: Gazetteer::learn(&corpus.train).score(&corpus.test),
    }
}

fn ambiguous(sentences: &[Sentence]) -> Finding {
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for sentence in sentences {
        for entity in &sentence.entities {
            kinds.entry(sentence.surface(entity)).or_default().insert(&entity.kind);
        }
    }
    let several = kinds.iter().filter(|(_, k)| k.len() > 1);
    let describe =
        |(s, k): (&&str, &BTreeSet<&str>)| format!("{s}: {}", k.iter().copied().collect::<Vec<_>>().join(", "));
    Finding::collect(kinds.len(), several.map(describe))
}

fn overlapping(sentence: &Sentence) -> Vec<String> {
    let mut cases = Vec::new();
    let mut reach: Option<&inerd_text::Entity> = None;
    for entity in &sentence.entities {
        if let Some(outer) = reach.filter(|o| o.span.overlaps(entity.span)) {
            cases.push(format!("{}: {} and {}", sentence.id, sentence.surface(outer), sentence.surface(entity)));
        }
        if reach.is_none_or(|o| o.span.end < entity.span.end) {
            reach = Some(entity);
        }
    }
    cases
}

/// Mentions that do not begin and end with a token. White space at a token's beginning is not part of the mention.
fn unwritable(sentence: &Sentence, tokens: &[Span]) -> Vec<String> {
    let mut starts = BTreeSet::new();
    let mut ends = BTreeSet::new();
    for token in tokens {
        let text = token.of(&sentence.text).unwrap_or_default();
        starts.insert(token.start + (text.len() - text.trim_start().len()));
        ends.insert(token.end);
    }
    let whole = |span: Span| starts.contains(&span.start) && ends.contains(&span.end);
    let describe = |e: &inerd_text::Entity| format!("{}: {} {}", sentence.id, e.kind, sentence.surface(e));
    sentence.entities.iter().filter(|e| !whole(e.span)).map(describe).collect()
}

impl Check {
    /// The findings as tables: what was read and repaired, what is doubtful, and names in tokens.
    pub fn sheets(&self) -> Vec<Sheet> {
        let mut read = Sheet::new(
            format!("{}: files", self.name),
            &["file", "split", "scheme", "sentences", "tokens", "entities", "types", "repairs"],
        );
        for file in &self.read.files {
            let f = &file.found;
            let repairs = file.repairs.iter().map(|(r, n)| format!("{n} × {}", r.describe())).collect::<Vec<_>>();
            let numbers = [f.sentences, f.tokens, f.entities, f.types.len()].map(|n| n.to_string());
            let head = [file.path.clone(), file.split.clone(), file.scheme.clone().unwrap_or_default()];
            read.row(head.into_iter().chain(numbers).chain([repairs.join("; ")]));
        }
        let mut findings = Sheet::new(format!("{}: findings", self.name), &["finding", "count", "of", "%", "examples"]);
        let optional = |f: &Option<Finding>| f.clone().unwrap_or_default();
        for (what, finding) in [
            ("test sentences in the training set", self.test_in_train.clone()),
            ("validation sentences in the training set", self.valid_in_train.clone()),
            ("surfaces with several types", self.ambiguous_surfaces.clone()),
            ("mentions that overlap another", self.overlapping_mentions.clone()),
            ("mentions that no token mask can write", optional(&self.unwritable_mentions)),
            ("sentences longer than the context", optional(&self.too_long)),
        ] {
            let share = percent(finding.count, finding.of);
            let examples = finding.examples.iter().map(|e| shorten(e)).collect::<Vec<_>>().join(" | ");
            findings.row([what.to_owned(), finding.count.to_string(), finding.of.to_string(), share, examples]);
        }
        let mut notes = Sheet::new(format!("{}: notes", self.name), &["note", "value"]);
        let mut note = |what: &str, value: String| notes.row([what.to_owned(), value]);
        note("F1 of a lookup of the training mentions", format!("{:.1}", 100.0 * self.gazetteer.f1));
        if !self.unseen_types.is_empty() {
            note("types of the test set that training lacks", self.unseen_types.join(", "));
        }
        for (kind, count) in &self.read.unnamed_types {
            note("type without a name in the card", format!("{kind} ({count})"));
        }
        for (kind, count) in &self.read.dropped_entities {
            note("mentions dropped by the card", format!("{kind} ({count})"));
        }
        if self.read.dropped_sentences > 0 {
            note("sentences dropped by the card", self.read.dropped_sentences.to_string());
        }
        for derived in &self.read.derived_splits {
            note("split made by the card", derived.clone());
        }
        if let Some((kind, tokens)) = self.type_tokens.iter().max_by_key(|(_, n)| **n) {
            note("longest type name in tokens", format!("{kind} ({tokens})"));
        }
        vec![read, findings, notes]
    }
}

/// Test sentences of one corpus that stand in the training set of another: rows are test sets, columns training sets.
pub fn overlap_matrix(corpora: &[Corpus], sameness: Sameness) -> Sheet {
    let names: Vec<&str> = corpora.iter().map(|c| c.name.as_str()).collect();
    let header: Vec<&str> = ["test set", "sentences"].into_iter().chain(names.iter().copied()).collect();
    let mut sheet = Sheet::new("test sentences that stand in a training set", &header);
    for held_out in corpora {
        let test: Vec<&Sentence> = held_out.test.iter().collect();
        let cells = corpora.iter().map(|other| {
            let train: Vec<&Sentence> = other.train.iter().collect();
            overlap(&test, &train, sameness).len().to_string()
        });
        let cells: Vec<String> = cells.collect();
        sheet.row([held_out.name.clone(), test.len().to_string()].into_iter().chain(cells));
    }
    sheet
}

fn percent(count: usize, of: usize) -> String {
    if of == 0 { "–".to_owned() } else { format!("{:.1}", 100.0 * count as f64 / of as f64) }
}

fn shorten(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use inerd_text::Entity;

    use super::*;
    use crate::tokenize;

    fn sentence(id: &str, text: &str, entities: &[(&str, usize, usize)]) -> Sentence {
        let entities = entities.iter().map(|&(k, s, e)| Entity::new(k, s, e)).collect();
        Sentence { id: id.to_owned(), text: text.to_owned(), entities, tokens: tokenize(text) }
    }

    #[test]
    fn every_finding_is_found() {
        let corpus = Corpus {
            name: "toy".to_owned(),
            schema: inerd_text::Schema::new(["City", "Person"]),
            train: vec![
                sentence("toy/train/1", "Paris met Paris", &[("City", 0, 5), ("Person", 10, 15)]),
                sentence("toy/train/2", "preParis rest", &[("City", 3, 8)]),
            ],
            test: vec![sentence("toy/test/1", "paris met Paris!", &[("City", 0, 15), ("Person", 10, 15)])],
            ..Corpus::default()
        };
        let tokens = |text: &str| tokenize(text);
        let options = CheckOptions { tokenize: Some(&tokens), context: Some(12), sameness: Sameness::Words };
        let found = check(&corpus, &options);
        assert_eq!((found.test_in_train.count, found.test_in_train.of), (1, 1));
        assert_eq!((found.ambiguous_surfaces.count, found.ambiguous_surfaces.of), (1, 1));
        assert_eq!(found.overlapping_mentions.examples, ["toy/test/1: paris met Paris and Paris"]);
        assert_eq!(found.unwritable_mentions.as_ref().unwrap().examples, ["toy/train/2: City Paris"]);
        assert_eq!(found.too_long.as_ref().unwrap().count, 2);
        assert_eq!(found.type_tokens["City"], 1);
        let stats = Stats::of(&corpus);
        assert_eq!(stats.splits[0].1.entities, 3);
        assert!((stats.seen_mentions - 0.5).abs() < 1e-12);
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Check>(&json).unwrap(), found);
        assert!(found.sheets().iter().chain(&stats.sheets()).all(|s| !s.text().is_empty()));
        let matrix = overlap_matrix(&[corpus], Sameness::Words);
        assert_eq!(matrix.rows, [["toy", "1", "1"]]);
    }
}
