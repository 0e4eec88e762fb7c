use std::collections::BTreeMap;

use inerd_text::{Generation, Sentence};
use serde::{Deserialize, Serialize};

use super::pairing::Pairing;

/// Which types are taken for which. Entities whose places overlap are compared, each at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Gold type, predicted type, count; the diagonal holds right types, also with wrong boundaries.
    pub pairs: BTreeMap<String, BTreeMap<String, u64>>,
    /// Gold entities that no prediction touches, by type.
    pub missed: BTreeMap<String, u64>,
    /// Predictions that touch no gold entity, by type.
    pub spurious: BTreeMap<String, u64>,
}

impl Confusion {
    pub(crate) fn add(&mut self, sentence: &Sentence, generation: &Generation, pairing: &Pairing) {
        for (prediction, judged) in generation.predictions.iter().zip(&pairing.of_predictions) {
            let row = match judged.gold {
                Some(gold) => self.pairs.entry(sentence.entities[gold].kind.clone()).or_default(),
                None => &mut self.spurious,
            };
            *row.entry(prediction.kind.clone()).or_default() += 1;
        }
        for &gold in &pairing.missed {
            *self.missed.entry(sentence.entities[gold].kind.clone()).or_default() += 1;
        }
    }
}

/// Predictions that overlap their gold entity without having its boundaries, of whatever type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundaries {
    /// Only the beginning differs.
    pub left: u64,
    /// Only the end differs.
    pub right: u64,
    pub both: u64,
    /// The prediction holds the whole gold entity and more.
    pub too_long: u64,
    /// The prediction is a part of the gold entity.
    pub too_short: u64,
    /// Neither holds the other.
    pub shifted: u64,
}

impl Boundaries {
    pub(crate) fn add(&mut self, sentence: &Sentence, generation: &Generation, pairing: &Pairing) {
        for (prediction, judged) in generation.predictions.iter().zip(&pairing.of_predictions) {
            let (Some(predicted), Some(gold)) = (prediction.span, judged.gold) else { continue };
            let gold = sentence.entities[gold].span;
            let side = match (predicted.start == gold.start, predicted.end == gold.end) {
                (true, true) => continue,
                (false, true) => &mut self.left,
                (true, false) => &mut self.right,
                (false, false) => &mut self.both,
            };
            *side += 1;
            let extent = if predicted.contains(gold) {
                &mut self.too_long
            } else if gold.contains(predicted) {
                &mut self.too_short
            } else {
                &mut self.shifted
            };
            *extent += 1;
        }
    }
}
