//! Several corpora become one: type names, sizes, and no test sentence in the training set.

use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Schema, Sentence};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::overlap::{Sameness, overlap};
use crate::stream::stream;
use crate::{Corpus, Error, Result, embedded};

/// How the type names of merged corpora relate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TypeNames {
    /// Spellings of one name become one, by [`unification`].
    #[default]
    Unify,
    /// Names stay; equal names are one type.
    Keep,
    /// Every name gets its corpus in front, so that equal names of two guidelines stay apart.
    Prefix,
}

/// How corpora are merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Merge {
    pub types: TypeNames,
    /// Type names to replace, old to new, before `types` applies.
    pub map: BTreeMap<String, String>,
    /// How often the training sentences of a corpus count; 1 where it is not listed, 0.5 takes half of them.
    pub weights: BTreeMap<String, f64>,
    /// At most this many training sentences per corpus, before the weights.
    pub cap: Option<usize>,
    /// Sampling by size: a corpus of n sentences gets a share proportional to n^(1/temperature). 1 keeps the sizes.
    pub temperature: f64,
    /// Training sentences that repeat a validation or test sentence of any corpus are removed; `None` keeps them.
    pub decontaminate: Option<Sameness>,
    /// Corpora whose training and validation sentences are left out. Their test sentences still must not be trained on.
    pub leave_out: BTreeSet<String>,
    pub seed: u64,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            types: TypeNames::Unify,
            map: BTreeMap::new(),
            weights: BTreeMap::new(),
            cap: None,
            temperature: 1.0,
            decontaminate: Some(Sameness::Near(0.8)),
            leave_out: BTreeSet::new(),
            seed: 0,
        }
    }
}

impl Merge {
    /// One merge per corpus, each leaving that corpus out.
    pub fn leave_one_out<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let without = |name: &str| {
            let mut merge = self.clone();
            merge.leave_out.insert(name.to_owned());
            merge
        };
        names.into_iter().map(without).collect()
    }

    /// The name that a type of a corpus has after the merge.
    pub fn rename(&self, corpus: &str, kind: &str) -> String {
        let kind = self.map.get(kind).map_or(kind, String::as_str);
        match self.types {
            TypeNames::Keep => kind.to_owned(),
            TypeNames::Unify => unification().get(kind).map_or(kind, String::as_str).to_owned(),
            TypeNames::Prefix => format!("{corpus} {kind}"),
        }
    }

    /// Renames the types of a corpus in place, schema included.
    pub fn rename_types(&self, corpus: &mut Corpus) {
        let names: BTreeMap<String, String> =
            corpus.schema.types().iter().map(|t| (t.clone(), self.rename(&corpus.name, t))).collect();
        corpus.schema = Schema::new(names.values().cloned());
        for sentence in corpus.splits_mut().into_iter().flatten() {
            for entity in &mut sentence.entities {
                if let Some(new) = names.get(&entity.kind) {
                    entity.kind.clone_from(new);
                }
            }
            // Two types that became one can stand on the same span.
            sentence.entities.sort();
            sentence.entities.dedup();
        }
    }
}

/// Spellings of one type name, from `data/types/unify.toml`: "Organisation" → "Organization".
pub fn unification() -> &'static BTreeMap<String, String> {
    static MAP: std::sync::LazyLock<BTreeMap<String, String>> =
        std::sync::LazyLock::new(|| toml::from_str(embedded::UNIFY).expect("the embedded table is parsed by a test"));
    &MAP
}

/// A training sentence that was removed because it repeats a held-out one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    pub train: String,
    pub held_out: String,
    pub similarity: f64,
}

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MergeReport {
    /// Corpus → training sentences before, and after removal, cap, weights and temperature.
    pub sizes: BTreeMap<String, (usize, usize)>,
    pub removed: Vec<Removed>,
    /// Type name of the merge → the corpora that have it.
    pub types: BTreeMap<String, BTreeSet<String>>,
}

/// Merges corpora into one.
///
/// Training sentences are removed, capped, weighted and tempered per corpus and then shuffled together; a sentence that
/// counts several times gets `#2`, `#3` … behind its id. Validation and test sentences are put one after another.
pub fn merge(name: &str, mut corpora: Vec<Corpus>, recipe: &Merge) -> Result<(Corpus, MergeReport)> {
    let names: BTreeSet<&str> = corpora.iter().map(|c| c.name.as_str()).collect();
    if names.len() < corpora.len() {
        return Err(Error::Invalid(format!("merge into `{name}`: a corpus is named twice")));
    }
    let mentioned = recipe.weights.keys().chain(&recipe.leave_out);
    if let Some(unknown) = mentioned.into_iter().find(|n| !names.contains(n.as_str())) {
        return Err(Error::Invalid(format!("merge into `{name}`: `{unknown}` is not among the merged corpora")));
    }
    if !(recipe.temperature > 0.0 && recipe.temperature.is_finite()) {
        return Err(Error::Invalid(format!(
            "merge into `{name}`: the temperature {} is not above 0",
            recipe.temperature
        )));
    }
    if let Some((corpus, weight)) = recipe.weights.iter().find(|(_, w)| !(0.0..=1000.0).contains(*w)) {
        return Err(Error::Invalid(format!(
            "merge into `{name}`: the weight {weight} of `{corpus}` is not in 0..=1000"
        )));
    }
    let mut report = MergeReport::default();
    for corpus in &mut corpora {
        recipe.rename_types(corpus);
        for kind in corpus.schema.types() {
            report.types.entry(kind.clone()).or_default().insert(corpus.name.clone());
        }
    }
    let before: Vec<usize> = corpora.iter().map(|c| c.train.len()).collect();
    if let Some(sameness) = recipe.decontaminate {
        report.removed = decontaminate(&mut corpora, sameness);
    }

    let trained = |c: &Corpus| !recipe.leave_out.contains(&c.name);
    let available: Vec<usize> = (corpora.iter())
        .map(|c| if trained(c) { c.train.len().min(recipe.cap.unwrap_or(usize::MAX)) } else { 0 })
        .collect();
    let sizes = temper(&available, recipe.temperature);
    let mut merged = Corpus { name: name.to_owned(), ..Corpus::default() };
    merged.schema = Schema::union(corpora.iter().filter(|c| trained(c)).map(|c| &c.schema));
    for (((corpus, before), available), size) in corpora.into_iter().zip(before).zip(available).zip(sizes) {
        let left_out = !trained(&corpus);
        let weight = recipe.weights.get(&corpus.name).copied().unwrap_or(1.0);
        let wanted = if left_out { 0 } else { (size * weight).round() as usize };
        report.sizes.insert(corpus.name.clone(), (before, wanted));
        merged.train.extend(sample(corpus.train, available, wanted, &corpus.name, recipe.seed));
        merged.report.files.extend(corpus.report.files);
        if !left_out {
            merged.valid.extend(corpus.valid);
            merged.test.extend(corpus.test);
        }
    }
    merged.train.shuffle(&mut stream("order of a merge", recipe.seed));
    Ok((merged, report))
}

/// Removes the training sentences that repeat a validation or test sentence of any of the corpora.
pub fn decontaminate(corpora: &mut [Corpus], sameness: Sameness) -> Vec<Removed> {
    let held_out: Vec<Sentence> = corpora.iter().flat_map(|c| c.valid.iter().chain(&c.test)).cloned().collect();
    let held_out: Vec<&Sentence> = held_out.iter().collect();
    let mut removed = Vec::new();
    for corpus in corpora {
        let train: Vec<&Sentence> = corpus.train.iter().collect();
        let repeated: BTreeMap<usize, (usize, f64)> =
            overlap(&train, &held_out, sameness).into_iter().map(|p| (p.left, (p.right, p.similarity))).collect();
        let id = |position: usize| held_out.get(position).map_or_else(String::new, |s| s.id.clone());
        let mut position = 0;
        corpus.train.retain(|sentence| {
            let hit = repeated.get(&position);
            position += 1;
            if let Some(&(right, similarity)) = hit {
                removed.push(Removed { train: sentence.id.clone(), held_out: id(right), similarity });
            }
            hit.is_none()
        });
    }
    removed
}

/// Sizes with the same sum whose shares are proportional to n^(1/temperature).
fn temper(sizes: &[usize], temperature: f64) -> Vec<f64> {
    let total: f64 = sizes.iter().map(|&n| n as f64).sum();
    let scaled: Vec<f64> =
        sizes.iter().map(|&n| if n == 0 { 0.0 } else { (n as f64).powf(1.0 / temperature) }).collect();
    let sum: f64 = scaled.iter().sum();
    scaled.into_iter().map(|s| if sum > 0.0 { total * s / sum } else { 0.0 }).collect()
}

/// `wanted` of the first `available` sentences of a seeded order; over again where there are not enough.
fn sample(sentences: Vec<Sentence>, available: usize, wanted: usize, name: &str, seed: u64) -> Vec<Sentence> {
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    // All of them once: no draw, and no change of order.
    if available == sentences.len() && wanted == available {
        return sentences;
    }
    order.shuffle(&mut stream(&format!("merge {name}"), seed));
    order.truncate(available);
    let mut sampled = Vec::with_capacity(wanted);
    for (count, &position) in order.iter().cycle().take(if order.is_empty() { 0 } else { wanted }).enumerate() {
        let Some(sentence) = sentences.get(position) else { continue };
        let mut sentence = sentence.clone();
        let round = count / order.len() + 1;
        if round > 1 {
            sentence.id = format!("{}#{round}", sentence.id);
        }
        sampled.push(sentence);
    }
    sampled
}

#[cfg(test)]
mod tests {
    use inerd_text::Entity;

    use super::*;

    fn corpus(name: &str, kind: &str, train: usize, test: &[&str]) -> Corpus {
        let sentence = |id: String, text: String| Sentence {
            entities: vec![Entity::new(kind, 0, 1)],
            id,
            text,
            ..Sentence::default()
        };
        let train =
            (0..train).map(|n| sentence(format!("{name}/train/{n}"), format!("{name} sentence {n} of its own")));
        let test = test.iter().enumerate().map(|(n, t)| sentence(format!("{name}/test/{n}"), (*t).to_owned()));
        Corpus {
            name: name.to_owned(),
            schema: Schema::new([kind]),
            train: train.collect(),
            test: test.collect(),
            ..Corpus::default()
        }
    }

    fn ids(merged: &Corpus, name: &str) -> usize {
        merged.train.iter().filter(|s| s.id.starts_with(&format!("{name}/"))).count()
    }

    #[test]
    fn spellings_are_unified_kept_or_prefixed() {
        let pair = || vec![corpus("a", "Organisation", 2, &[]), corpus("b", "Organization", 2, &[])];
        let types = |types, map: &[(&str, &str)]| {
            let map = map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let (merged, _) = merge("m", pair(), &Merge { types, map, ..Merge::default() }).unwrap();
            for entity in merged.train.iter().flat_map(|s| &s.entities) {
                assert!(merged.schema.contains(&entity.kind));
            }
            merged.schema.types().to_vec()
        };
        assert_eq!(types(TypeNames::Unify, &[]), ["Organization"]);
        assert_eq!(types(TypeNames::Keep, &[]), ["Organisation", "Organization"]);
        assert_eq!(types(TypeNames::Prefix, &[]), ["a Organisation", "b Organization"]);
        assert_eq!(types(TypeNames::Keep, &[("Organization", "Group")]), ["Group", "Organisation"]);
    }

    #[test]
    fn caps_weights_and_temperature_set_the_sizes() {
        let pair = || vec![corpus("a", "A", 100, &[]), corpus("b", "B", 25, &[])];
        let sizes = |recipe: Merge| {
            let (merged, report) = merge("m", pair(), &recipe).unwrap();
            let unique: BTreeSet<&str> = merged.train.iter().map(|s| s.id.as_str()).collect();
            assert_eq!(unique.len(), merged.train.len());
            assert_eq!(report.sizes["a"].1, ids(&merged, "a"));
            (ids(&merged, "a"), ids(&merged, "b"))
        };
        assert_eq!(sizes(Merge::default()), (100, 25));
        assert_eq!(sizes(Merge { cap: Some(40), ..Merge::default() }), (40, 25));
        let weights = [("a".to_owned(), 0.5), ("b".to_owned(), 2.0)].into();
        assert_eq!(sizes(Merge { weights, ..Merge::default() }), (50, 50));
        // √100 : √25 = 2 : 1 of 125.
        assert_eq!(sizes(Merge { temperature: 2.0, ..Merge::default() }), (83, 42));
    }

    #[test]
    fn held_out_sentences_of_every_corpus_leave_the_training_set() {
        let a = corpus("a", "A", 3, &["B sentence 1, of its own!"]);
        let b = corpus("b", "B", 3, &["a sentence 2 of its own"]);
        let (merged, report) = merge("m", vec![a, b], &Merge::default()).unwrap();
        let removed: Vec<_> = report.removed.iter().map(|r| (r.train.as_str(), r.held_out.as_str())).collect();
        assert_eq!(removed, [("a/train/2", "b/test/0"), ("b/train/1", "a/test/0")]);
        assert_eq!((merged.train.len(), merged.test.len()), (4, 2));
    }

    #[test]
    fn leaving_one_out_keeps_its_test_sentences_away() {
        let a = corpus("a", "A", 3, &["b sentence 1 of its own"]);
        let b = corpus("b", "B", 3, &[]);
        let merges = Merge::default().leave_one_out(["a", "b"]);
        let (merged, report) = merge("m", vec![a, b], &merges[0]).unwrap();
        assert_eq!((ids(&merged, "a"), ids(&merged, "b")), (0, 2));
        assert_eq!((merged.schema.types(), merged.test.len()), (&["B".to_owned()][..], 0));
        assert_eq!(report.sizes["a"], (3, 0));
    }

    #[test]
    fn mistakes_are_refused() {
        let one = || vec![corpus("a", "A", 3, &[])];
        let unknown = Merge { leave_out: ["x".to_owned()].into(), ..Merge::default() };
        assert!(merge("m", one(), &unknown).unwrap_err().to_string().contains("`x` is not among"));
        let cold = Merge { temperature: 0.0, ..Merge::default() };
        assert!(merge("m", one(), &cold).unwrap_err().to_string().contains("not above 0"));
        let twice = vec![corpus("a", "A", 1, &[]), corpus("a", "A", 1, &[])];
        assert!(merge("m", twice, &Merge::default()).unwrap_err().to_string().contains("named twice"));
        assert!(!unification().is_empty());
    }
}
