//! The baseline that any trained system must beat: a list of the training mentions, looked up.

use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Entity, Sentence, Span};
use serde::{Deserialize, Serialize};

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
    pub fn learn<'a>(sentences: impl IntoIterator<Item = &'a Sentence>) -> Self {
        let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        let mut longest = 0;
        for sentence in sentences {
            let tokens = tokens_of(sentence);
            for entity in &sentence.entities {
                *counts.entry(sentence.surface(entity)).or_default().entry(&entity.kind).or_default() += 1;
                longest = longest.max(tokens.iter().filter(|t| entity.span.contains(**t)).count());
            }
        }
        let most_frequent = |kinds: BTreeMap<&str, usize>| {
            kinds.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0))).map(|(kind, _)| kind.to_owned())
        };
        let kinds = counts.into_iter().filter_map(|(s, kinds)| Some((s.to_owned(), most_frequent(kinds)?))).collect();
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

fn tokens_of(sentence: &Sentence) -> Vec<Span> {
    if sentence.tokens.is_empty() { tokenize(&sentence.text) } else { sentence.tokens.clone() }
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
