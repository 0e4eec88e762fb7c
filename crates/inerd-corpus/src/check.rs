//! What a corpus holds and what is doubtful about it: `inerd data stats` and `inerd data check`.

use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Entity, Sentence};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::gazetteer::Gazetteer;
use crate::overlap::{Sameness, overlap};
use crate::report::{Counts, ReadReport};
use crate::sheet::Sheet;
use crate::{Corpus, GazetteerScore};

/// How many examples a finding lists.
const EXAMPLES: usize = 5;

/// How long sentences are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lengths {
    pub median: usize,
    /// 95 of 100 sentences are at most this long.
    pub p95: usize,
    pub p99: usize,
    pub longest: usize,
}

impl Lengths {
    fn of(mut lengths: Vec<usize>) -> Self {
        lengths.sort_unstable();
        // The smallest length that at least this share reaches no further than.
        let at = |share: f64| {
            let rank = (share * lengths.len() as f64).ceil() as usize;
            lengths.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self { median: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(1.0) }
    }

    fn cells(self) -> [String; 4] {
        [self.median, self.p95, self.p99, self.longest].map(|n| n.to_string())
    }
}

/// Counts of a corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub name: String,
    /// Split → counts, in the order train, valid, test.
    pub splits: Vec<(String, Counts)>,
    /// Tokens per sentence of each split.
    pub lengths: Vec<Lengths>,
    /// Test mentions whose surface stands in the training set with the same type, in 0..=1.
    pub seen_mentions: f64,
}

impl Stats {
    pub fn of(corpus: &Corpus) -> Self {
        let splits = corpus.splits().map(|(name, sentences)| (name.to_owned(), Counts::of(sentences)));
        let mut train = mentions(&corpus.train);
        train.dedup();
        let test = mentions(&corpus.test);
        let seen = test.iter().filter(|mention| train.binary_search(mention).is_ok()).count();
        Self {
            name: corpus.name.clone(),
            splits: splits.into(),
            lengths: corpus.splits().map(|(_, s)| Lengths::of(s.iter().map(crate::subset::length).collect())).into(),
            seen_mentions: if test.is_empty() { 0.0 } else { seen as f64 / test.len() as f64 },
        }
    }

    /// Sizes per split, and mentions per type and split.
    pub fn sheets(&self) -> Vec<Sheet> {
        let header = [
            "split",
            "sentences",
            "tokens",
            "entities",
            "types",
            "label-free",
            "label-free %",
            "median",
            "95 %",
            "99 %",
            "longest",
        ];
        let mut sizes = Sheet::new(format!("{}: sizes", self.name), &header);
        for ((split, c), lengths) in self.splits.iter().zip(&self.lengths) {
            let share = percent(c.label_free, c.sentences);
            let numbers = [c.sentences, c.tokens, c.entities, c.types.len(), c.label_free].map(|n| n.to_string());
            sizes.row([split.clone()].into_iter().chain(numbers).chain([share]).chain(lengths.cells()));
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

/// What a model's tokenizer and its masks make of sentences. Models are unknown here: who knows them says it.
pub trait Writing: Sync {
    /// Tokens of the prompt and of the answer with its end, as they are trained on.
    fn length(&self, sentence: &Sentence) -> usize;
    /// Tokens of a type's name in an answer.
    fn type_length(&self, kind: &str) -> usize;
    /// The masks that [`Writing::can_write`] knows, by name.
    fn masks(&self) -> Vec<String>;
    /// Whether an answer with this mention is one that a mask lets through.
    fn can_write(&self, mask: usize, sentence: &Sentence, entity: &Entity) -> bool;
}

/// What a check should know of a model, and how near is too near.
#[derive(Clone, Copy)]
pub struct CheckOptions<'a> {
    pub writing: Option<&'a dyn Writing>,
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
    /// Mask → the mentions that it can't write. Of a mention that no rule keeps away the tokenizer is to blame: its
    /// tokens reach over the mention's edges.
    pub unwritable_mentions: BTreeMap<String, Finding>,
    /// Tokens per sentence with its answer.
    pub lengths: Option<Lengths>,
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
    let count: usize = all.iter().map(|s| s.entities.len()).sum();
    let unwritable = options.writing.map_or_else(BTreeMap::new, |writing| {
        let of_mask = |(mask, name): (usize, String)| {
            let describe = |s: &Sentence, e: &Entity| format!("{}: {} {}", s.id, e.kind, s.surface(e));
            let of_sentence = |s: &&Sentence| {
                let refused = s.entities.iter().filter(|e| !writing.can_write(mask, s, e));
                refused.map(|e| describe(s, e)).collect::<Vec<_>>()
            };
            let cases: Vec<String> = all.par_iter().flat_map_iter(of_sentence).collect();
            (name, Finding::collect(count, cases))
        };
        writing.masks().into_iter().enumerate().map(of_mask).collect()
    });
    let lengths: Option<Vec<usize>> = options.writing.map(|w| all.par_iter().map(|s| w.length(s)).collect());
    let too_long = lengths.as_ref().zip(options.context).map(|(lengths, context)| {
        let longer = all.iter().zip(lengths).filter(|&(_, &length)| length > context);
        Finding::collect(all.len(), longer.map(|(s, length)| format!("{}: {length} tokens", s.id)))
    });
    let type_tokens = options.writing.map_or_else(BTreeMap::new, |writing| {
        corpus.schema.types().iter().map(|t| (t.clone(), writing.type_length(t))).collect()
    });
    // What walks over the training set with one thread runs beside what uses all.
    let ((test_in_train, valid_in_train), gazetteer) = rayon::join(
        || (repeated(&corpus.test), repeated(&corpus.valid)),
        || Gazetteer::learn(&corpus.train).score(&corpus.test),
    );
    let (trained, tested) = (Counts::of(&corpus.train).types, Counts::of(&corpus.test).types);
    Check {
        name: corpus.name.clone(),
        read: corpus.report.clone(),
        test_in_train,
        valid_in_train,
        ambiguous_surfaces: ambiguous(mentions(&corpus.train)),
        overlapping_mentions: Finding::collect(count, all.iter().flat_map(|s| overlapping(s))),
        unwritable_mentions: unwritable,
        lengths: lengths.map(Lengths::of),
        too_long,
        type_tokens,
        unseen_types: tested.into_keys().filter(|t| !trained.contains_key(t)).collect(),
        gazetteer,
    }
}

/// Surface and type of every mention, sorted.
pub(crate) fn mentions(sentences: &[Sentence]) -> Vec<(&str, &str)> {
    let of_all = sentences.par_iter();
    let mut all: Vec<(&str, &str)> =
        of_all.flat_map_iter(|s| s.entities.iter().map(move |e| (s.surface(e), e.kind.as_str()))).collect();
    all.par_sort_unstable();
    all
}

/// `mentions` are sorted.
fn ambiguous(mut mentions: Vec<(&str, &str)>) -> Finding {
    mentions.dedup();
    let surfaces = || mentions.chunk_by(|a, b| a.0 == b.0);
    let describe = |kinds: &[(&str, &str)]| {
        let names: Vec<&str> = kinds.iter().map(|(_, kind)| *kind).collect();
        format!("{}: {}", kinds.first().map_or("", |k| k.0), names.join(", "))
    };
    Finding::collect(surfaces().count(), surfaces().filter(|kinds| kinds.len() > 1).map(describe))
}

fn overlapping(sentence: &Sentence) -> Vec<String> {
    let mut cases = Vec::new();
    let mut reach: Option<&Entity> = None;
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
        let unwritable = |(mask, finding): (&String, &Finding)| {
            (format!("mentions that the mask \"{mask}\" can't write"), finding.clone())
        };
        let fixed = [
            ("test sentences in the training set", &self.test_in_train),
            ("validation sentences in the training set", &self.valid_in_train),
            ("surfaces with several types", &self.ambiguous_surfaces),
            ("mentions that overlap another", &self.overlapping_mentions),
        ];
        let fixed = fixed.into_iter().map(|(what, finding)| (what.to_owned(), finding.clone()));
        let too_long = self.too_long.iter().map(|f| ("sentences longer than the context".to_owned(), f.clone()));
        for (what, finding) in fixed.chain(self.unwritable_mentions.iter().map(unwritable)).chain(too_long) {
            let share = percent(finding.count, finding.of);
            let examples = finding.examples.iter().map(|e| shorten(e)).collect::<Vec<_>>().join(" | ");
            findings.row([what, finding.count.to_string(), finding.of.to_string(), share, examples]);
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
        let mut sheets = vec![read, findings, notes];
        if let Some(lengths) = self.lengths {
            let title = format!("{}: tokens of a sentence with its answer", self.name);
            let mut sheet = Sheet::new(title, &["median", "95 %", "99 %", "longest"]);
            sheet.row(lengths.cells());
            sheets.push(sheet);
        }
        if !self.type_tokens.is_empty() {
            let mut sheet = Sheet::new(format!("{}: type names in tokens", self.name), &["type", "tokens"]);
            let mut types: Vec<(&String, &usize)> = self.type_tokens.iter().collect();
            types.sort_by_key(|&(kind, tokens)| (std::cmp::Reverse(*tokens), kind));
            types.into_iter().for_each(|(kind, tokens)| sheet.row([kind.clone(), tokens.to_string()]));
            sheets.push(sheet);
        }
        let listed = || self.read.files.iter().flat_map(|f| f.listed.iter().take(EXAMPLES).map(move |r| (f, r)));
        if listed().next().is_some() {
            let title = format!("{}: first repairs of every file (JSON lists more)", self.name);
            let mut sheet = Sheet::new(title, &["file", "line", "repair"]);
            for (file, repaired) in listed() {
                let place = [&*file.path, &*repaired.document].into_iter().filter(|p| !p.is_empty());
                let place = place.collect::<Vec<_>>().join(" ");
                sheet.row([place, repaired.line.to_string(), repaired.repair.describe().to_owned()]);
            }
            sheets.push(sheet);
        }
        sheets
    }
}

/// A test sentence that stands in a training set, by ids alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeated {
    /// The corpus that is tested on.
    pub tested: String,
    /// The corpus that is trained on.
    pub trained: String,
    /// Ids of the two sentences.
    pub test: String,
    pub train: String,
    pub similarity: f64,
}

/// The test sentences of every corpus that stand in its own training set or in another's.
pub fn repeated(corpora: &[Corpus], sameness: Sameness) -> Vec<Repeated> {
    // Every training set is walked once, whatever the number of test sets.
    let test: Vec<(usize, &Sentence)> =
        corpora.iter().enumerate().flat_map(|(place, c)| c.test.iter().map(move |s| (place, s))).collect();
    let sentences: Vec<&Sentence> = test.iter().map(|(_, s)| *s).collect();
    let mut all: Vec<(usize, Repeated)> = Vec::new();
    for trained in corpora {
        let train: Vec<&Sentence> = trained.train.iter().collect();
        all.extend(overlap(&sentences, &train, sameness).into_iter().filter_map(|pair| {
            let &(place, sentence) = test.get(pair.left)?;
            let found = Repeated {
                tested: corpora.get(place)?.name.clone(),
                trained: trained.name.clone(),
                test: sentence.id.clone(),
                train: train.get(pair.right)?.id.clone(),
                similarity: pair.similarity,
            };
            Some((place, found))
        }));
    }
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, found)| found).collect()
}

/// How many test sentences stand in which training set: rows are test sets, columns training sets.
pub fn overlap_matrix(corpora: &[Corpus], repeated: &[Repeated]) -> Sheet {
    let names: Vec<&str> = corpora.iter().map(|c| c.name.as_str()).collect();
    let header: Vec<&str> = ["test set", "sentences"].into_iter().chain(names.iter().copied()).collect();
    let mut sheet = Sheet::new("test sentences that stand in a training set", &header);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for pair in repeated {
        *counts.entry((&pair.tested, &pair.trained)).or_default() += 1;
    }
    for corpus in corpora {
        let cells = names.iter().map(|other| counts.get(&(corpus.name.as_str(), *other)).copied().unwrap_or(0));
        let cells: Vec<String> = cells.map(|n| n.to_string()).collect();
        sheet.row([corpus.name.clone(), corpus.test.len().to_string()].into_iter().chain(cells));
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
    use super::*;
    use crate::tokenize;

    fn sentence(id: &str, text: &str, entities: &[(&str, usize, usize)]) -> Sentence {
        let entities = entities.iter().map(|&(k, s, e)| Entity::new(k, s, e)).collect();
        Sentence { id: id.to_owned(), text: text.to_owned(), entities, tokens: tokenize(text) }
    }

    /// One token per word or mark; the answer `type : content ;`. The mask knows mentions of whole tokens only.
    struct Words;

    impl Writing for Words {
        fn length(&self, sentence: &Sentence) -> usize {
            let answer = |e: &Entity| tokenize(&e.kind).len() + tokenize(sentence.surface(e)).len() + 2;
            tokenize(&sentence.text).len() + 2 + sentence.entities.iter().map(answer).sum::<usize>()
        }

        fn type_length(&self, kind: &str) -> usize {
            tokenize(kind).len()
        }

        fn masks(&self) -> Vec<String> {
            vec!["words".to_owned(), "anything".to_owned()]
        }

        fn can_write(&self, mask: usize, sentence: &Sentence, entity: &Entity) -> bool {
            let tokens = tokenize(&sentence.text);
            let edge = |at: usize| tokens.iter().any(|t| t.start == at || t.end == at);
            mask == 1 || edge(entity.span.start) && edge(entity.span.end)
        }
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
        let options = CheckOptions { writing: Some(&Words), context: Some(12), sameness: Sameness::Words };
        let found = check(&corpus, &options);
        assert_eq!((found.test_in_train.count, found.test_in_train.of), (1, 1));
        assert_eq!((found.ambiguous_surfaces.count, found.ambiguous_surfaces.of), (1, 1));
        assert_eq!(found.overlapping_mentions.examples, ["toy/test/1: paris met Paris and Paris"]);
        assert_eq!(found.unwritable_mentions["words"].examples, ["toy/train/2: City Paris"]);
        assert_eq!(found.unwritable_mentions["anything"].count, 0);
        assert_eq!(found.lengths, Some(Lengths { median: 13, p95: 16, p99: 16, longest: 16 }));
        assert_eq!(found.too_long.as_ref().unwrap().count, 2);
        assert_eq!(found.type_tokens["City"], 1);
        let stats = Stats::of(&corpus);
        assert_eq!(stats.splits[0].1.entities, 3);
        assert_eq!((stats.lengths[0].median, stats.lengths[0].longest), (2, 3));
        assert!((stats.seen_mentions - 0.5).abs() < 1e-12);
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Check>(&json).unwrap(), found);
        assert!(found.sheets().iter().chain(&stats.sheets()).all(|s| !s.text().is_empty()));
        let other = Corpus { name: "other".to_owned(), train: corpus.test.clone(), ..Corpus::default() };
        let corpora = [corpus, other];
        let pairs = repeated(&corpora, Sameness::Words);
        let ids: Vec<_> = pairs.iter().map(|p| (&*p.test, &*p.trained, &*p.train)).collect();
        assert_eq!(ids, [("toy/test/1", "toy", "toy/train/1"), ("toy/test/1", "other", "toy/test/1")]);
        assert_eq!(overlap_matrix(&corpora, &pairs).rows, [["toy", "1", "1", "1"], ["other", "0", "0", "0"]]);
    }
}
