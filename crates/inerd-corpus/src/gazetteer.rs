//! The baseline that any trained system must beat: a list of the training mentions, looked up.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Entity, Sentence, Span};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::check::mentions;
use crate::tokens::tokenize;

/// Every training mention with its most frequent type; the longest match from the left wins.
#[derive(Debug, Default)]
pub struct Gazetteer {
    kinds: BTreeMap<String, String>,
    /// Tokens of the longest mention.
    longest: usize,
}

/// Exact-match counts and micro F1 of a gazetteer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GazetteerScore {
    pub gold: usize,
    pub predicted: usize,
    pub correct: usize,
    /// 2·correct / (gold + predicted), in 0..=1; zero where both are empty.
    pub f1: f64,
}

impl Gazetteer {
    pub fn learn(sentences: &[Sentence]) -> Self {
        let tokens_of_longest = |s: &Sentence| {
            let tokens = tokens_of(s);
            s.entities.iter().map(|e| tokens.iter().filter(|t| e.span.contains(**t)).count()).max().unwrap_or(0)
        };
        let longest = sentences.par_iter().filter(|s| !s.entities.is_empty()).map(tokens_of_longest).max().unwrap_or(0);
        let mut kinds = BTreeMap::new();
        for of_surface in mentions(sentences).chunk_by(|a, b| a.0 == b.0) {
            // The first of the most frequent ones: they are sorted.
            let by_kind = of_surface.chunk_by(|a, b| a.1 == b.1).rev();
            if let Some([(surface, kind), ..]) = by_kind.max_by_key(|same| same.len()) {
                kinds.insert((*surface).to_owned(), (*kind).to_owned());
            }
        }
        Self { kinds, longest }
    }

    pub fn predict(&self, sentence: &Sentence) -> Vec<Entity> {
        let tokens = tokens_of(sentence);
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(first) = tokens.get(at) {
            let window = tokens.get(at..(at + self.longest).min(tokens.len())).unwrap_or_default();
            let hit = window.iter().enumerate().rev().find_map(|(offset, last)| {
                let span = Span::new(first.start, last.end);
                Some((offset, span, self.kinds.get(span.of(&sentence.text)?)?))
            });
            at += 1;
            if let Some((offset, span, kind)) = hit {
                found.push(Entity { span, kind: kind.clone() });
                at += offset;
            }
        }
        found
    }

    pub fn score<'a>(&self, sentences: impl IntoIterator<Item = &'a Sentence>) -> GazetteerScore {
        let (mut gold, mut predicted, mut correct) = (0, 0, 0);
        for sentence in sentences {
            let answer = self.predict(sentence);
            let truth: BTreeSet<&Entity> = sentence.entities.iter().collect();
            gold += truth.len();
            predicted += answer.len();
            correct += answer.iter().filter(|e| truth.contains(e)).count();
        }
        let f1 = if gold + predicted == 0 { 0.0 } else { 2.0 * correct as f64 / (gold + predicted) as f64 };
        GazetteerScore { gold, predicted, correct, f1 }
    }
}

fn tokens_of(sentence: &Sentence) -> Cow<'_, [Span]> {
    if sentence.tokens.is_empty() { tokenize(&sentence.text).into() } else { (&sentence.tokens).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(text: &str, entities: &[(&str, usize, usize)]) -> Sentence {
        let entities = entities.iter().map(|&(kind, start, end)| Entity::new(kind, start, end)).collect();
        Sentence { text: text.to_owned(), entities, ..Sentence::default() }
    }

    #[test]
    fn the_longest_match_and_the_most_frequent_type_win() {
        let train = [
            sentence("York and New York", &[("Person", 0, 4), ("City", 9, 17)]),
            sentence("York and York", &[("City", 0, 4), ("Person", 9, 13)]),
        ];
        let gazetteer = Gazetteer::learn(&train);
        let test = sentence("New York met York .", &[("City", 0, 8), ("City", 13, 17)]);
        assert_eq!(gazetteer.predict(&test), [Entity::new("City", 0, 8), Entity::new("Person", 13, 17)]);
        let score = gazetteer.score([&test]);
        assert_eq!((score.gold, score.predicted, score.correct), (2, 2, 1));
        assert!((score.f1 - 0.5).abs() < 1e-12);
    }
}
