//! Sizes: nested subsets in one fixed order per seed, and k shots per type.

use std::collections::BTreeMap;

use inerd_text::Sentence;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::stream::stream;
use crate::tokens::tokenize;

/// What a size counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    #[default]
    Sentences,
    /// The corpus's own tokens, or those of [`tokenize`].
    Tokens,
}

/// How much of a training set is used. What a smaller size holds, a larger one of the same seed holds as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subset {
    /// Share of the sentences (or tokens), above 0 and at most 1.
    pub fraction: f64,
    pub unit: Unit,
    pub max_sentences: Option<usize>,
    /// At least this many mentions of every type, where there are as many; no sentence that no type needs.
    pub shots: Option<usize>,
    /// Every type keeps its share in every subset.
    pub stratified: bool,
    pub seed: u64,
}

impl Default for Subset {
    fn default() -> Self {
        Self { fraction: 1.0, unit: Unit::Sentences, max_sentences: None, shots: None, stratified: false, seed: 0 }
    }
}

impl Subset {
    /// The positions of the chosen sentences, in their order of the corpus.
    pub fn positions(&self, sentences: &[Sentence]) -> Vec<usize> {
        let mut order = if self.stratified { stratified(sentences, self.seed) } else { plain(sentences, self.seed) };
        if let Some(shots) = self.shots {
            order = k_shot(sentences, &order, shots);
        }
        let share = match self.unit {
            Unit::Sentences => (order.len() as f64 * self.fraction - 1e-9).ceil() as usize,
            Unit::Tokens => {
                let lengths: Vec<usize> = order.iter().map(|&p| sentences.get(p).map_or(0, length)).collect();
                let budget = lengths.iter().sum::<usize>() as f64 * self.fraction;
                let mut used = 0;
                let fitting = lengths.iter().take_while(|&&n| {
                    used += n;
                    used as f64 <= budget
                });
                // A share of something is never nothing, as with sentences.
                fitting.count().max(1)
            }
        };
        order.truncate(share.min(self.max_sentences.unwrap_or(usize::MAX)));
        order.sort_unstable();
        order
    }

    /// The chosen sentences, in their order of the corpus.
    pub fn choose(&self, sentences: Vec<Sentence>) -> Vec<Sentence> {
        let positions = self.positions(&sentences);
        if positions.len() == sentences.len() {
            return sentences;
        }
        let mut chosen = positions.into_iter().peekable();
        let keep = |(position, sentence)| chosen.next_if_eq(&position).map(|_| sentence);
        sentences.into_iter().enumerate().filter_map(keep).collect()
    }
}

/// Tokens of a sentence: its own, or those of [`tokenize`].
pub fn length(sentence: &Sentence) -> usize {
    if sentence.tokens.is_empty() { tokenize(&sentence.text).len() } else { sentence.tokens.len() }
}

/// A seeded order of all sentences.
fn plain(sentences: &[Sentence], seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.shuffle(&mut stream("subset", seed));
    order
}

/// A seeded order of which every beginning holds every type in about its share.
///
/// A sentence belongs to the rarest of its types (or to none). The sentences of a stratum are spread evenly over 0..1,
/// and all are sorted by their place there: the first x of the order hold the first x of every stratum.
fn stratified(sentences: &[Sentence], seed: u64) -> Vec<usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entity in sentences.iter().flat_map(|s| &s.entities) {
        *counts.entry(&entity.kind).or_default() += 1;
    }
    let mut strata: BTreeMap<Option<(usize, &str)>, Vec<usize>> = BTreeMap::new();
    for position in plain(sentences, seed) {
        let kinds = sentences.get(position).into_iter().flat_map(|s| &s.entities).map(|e| e.kind.as_str());
        let rarest = kinds.filter_map(|kind| Some((*counts.get(kind)?, kind))).min();
        strata.entry(rarest).or_default().push(position);
    }
    let mut placed: Vec<(f64, usize, usize)> = Vec::with_capacity(sentences.len());
    for (stratum, positions) in strata.into_values().enumerate() {
        let size = positions.len() as f64;
        let place = |(index, position)| ((index as f64 + 0.5) / size, stratum, position);
        placed.extend(positions.into_iter().enumerate().map(place));
    }
    placed.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    placed.into_iter().map(|(_, _, position)| position).collect()
}

/// Sentences of the order, added until every type has `shots` mentions: in rounds, so that k shots contain k − 1.
fn k_shot(sentences: &[Sentence], order: &[usize], shots: usize) -> Vec<usize> {
    let mut having: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &position in order {
        let mut kinds: Vec<&str> =
            sentences.get(position).into_iter().flat_map(|s| &s.entities).map(|e| e.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            having.entry(kind).or_default().push(position);
        }
    }
    // Rare types first: their sentences bring mentions of the frequent ones along.
    let mut kinds: Vec<(&str, std::vec::IntoIter<usize>)> =
        having.into_iter().map(|(kind, positions)| (kind, positions.into_iter())).collect();
    kinds.sort_by_key(|(kind, positions)| (positions.len(), *kind));
    let mut chosen: Vec<usize> = Vec::new();
    let mut taken = vec![false; sentences.len()];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 1..=shots {
        for (kind, positions) in &mut kinds {
            while counts.get(kind).copied().unwrap_or(0) < round {
                let Some(position) = positions.next() else { break };
                if std::mem::replace(&mut taken[position], true) {
                    continue;
                }
                chosen.push(position);
                for entity in &sentences[position].entities {
                    *counts.entry(&entity.kind).or_default() += 1;
                }
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use inerd_text::Entity;
    use proptest::prelude::*;

    use super::*;

    fn corpus(kinds: &[Vec<u8>]) -> Vec<Sentence> {
        let sentence = |(n, kinds): (usize, &Vec<u8>)| Sentence {
            id: n.to_string(),
            text: "word ".repeat(n % 7 + 1),
            entities: kinds.iter().map(|k| Entity::new(format!("T{k}"), 0, 4)).collect(),
            ..Sentence::default()
        };
        kinds.iter().enumerate().map(sentence).collect()
    }

    proptest! {
        /// Smaller subsets lie in larger ones, whatever the order, the unit and the number of shots.
        #[test]
        fn subsets_are_nested(
            kinds in proptest::collection::vec(proptest::collection::vec(0u8..5, 0..4), 0..60),
            stratified: bool, tokens: bool, seed in 0u64..4,
        ) {
            let sentences = corpus(&kinds);
            let unit = if tokens { Unit::Tokens } else { Unit::Sentences };
            let mut inner: Vec<usize> = Vec::new();
            for fraction in [0.01, 0.1, 0.35, 0.8, 1.0] {
                let outer = Subset { fraction, unit, stratified, seed, ..Subset::default() }.positions(&sentences);
                let set: BTreeSet<_> = outer.iter().collect();
                prop_assert!(inner.iter().all(|p| set.contains(p)));
                inner = outer;
            }
            prop_assert_eq!(inner.len(), sentences.len());
            let mut inner: Vec<usize> = Vec::new();
            for shots in 1..6 {
                let outer = Subset { shots: Some(shots), stratified, seed, ..Subset::default() }.positions(&sentences);
                let set: BTreeSet<_> = outer.iter().collect();
                prop_assert!(inner.iter().all(|p| set.contains(p)));
                for kind in 0..5 {
                    let name = format!("T{kind}");
                    let count = |positions: &mut dyn Iterator<Item = usize>| {
                        positions.map(|p| sentences[p].entities.iter().filter(|e| e.kind == name).count()).sum::<usize>()
                    };
                    let all = count(&mut (0..sentences.len()));
                    prop_assert!(count(&mut outer.iter().copied()) >= all.min(shots));
                }
                inner = outer;
            }
        }
    }

    #[test]
    fn stratified_subsets_keep_the_shares() {
        // One sentence in ten has the rare type.
        let kinds: Vec<Vec<u8>> = (0..200).map(|n| if n % 10 == 0 { vec![1] } else { vec![0] }).collect();
        let sentences = corpus(&kinds);
        for seed in 0..20 {
            for percent in [10, 20, 50] {
                let fraction = f64::from(percent) / 100.0;
                let chosen = Subset { fraction, stratified: true, seed, ..Subset::default() }.choose(sentences.clone());
                let rare = chosen.iter().filter(|s| s.entities[0].kind == "T1").count();
                assert_eq!((chosen.len(), rare), (2 * percent as usize, 2 * percent as usize / 10));
            }
        }
    }

    #[test]
    fn seeds_differ_and_limits_hold() {
        let sentences = corpus(&vec![vec![0]; 50]);
        let half = |seed| Subset { fraction: 0.5, seed, ..Subset::default() }.positions(&sentences);
        assert_ne!(half(0), half(1));
        assert_eq!(half(0).len(), 25);
        let capped = Subset { max_sentences: Some(3), ..Subset::default() };
        assert_eq!(capped.positions(&sentences).len(), 3);
        let tokens: usize = sentences.iter().map(length).sum();
        let chosen = Subset { fraction: 0.5, unit: Unit::Tokens, ..Subset::default() }.choose(sentences);
        let used: usize = chosen.iter().map(length).sum();
        assert!(used * 2 <= tokens && used * 2 > tokens - 14, "{used} of {tokens}");
        let least = Subset { fraction: 1e-9, unit: Unit::Tokens, ..Subset::default() };
        assert_eq!((least.positions(&chosen).len(), least.positions(&[]).len()), (1, 0));
    }
}
