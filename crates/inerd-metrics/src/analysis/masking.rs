use std::collections::BTreeMap;

use inerd_text::{Generation, Prediction, Schema, Sentence};
use serde::{Deserialize, Serialize};

use super::pairing::{Outcome, Pairing};
use crate::hallucination::{HallucinationClass, classify};
use crate::score::pair;
use crate::{MetricsError, Result};

/// What stands in the masked answer where the free answer of the same checkpoint had a hallucination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedInto {
    pub correct: u64,
    /// Boundaries of a gold entity, another type.
    pub wrong_type: u64,
    /// Overlaps a gold entity without having its boundaries.
    pub boundary: u64,
    pub spurious: u64,
    /// Nothing: the masked answer is shorter there.
    pub dropped: u64,
    /// Itself: the rules of this mask allow it.
    pub kept: u64,
}

impl TurnedInto {
    pub fn total(self) -> u64 {
        self.correct + self.wrong_type + self.boundary + self.spurious + self.dropped + self.kept
    }
}

/// What the mask turned hallucinated entities into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskEffect {
    /// By class of the free answer's hallucination; an entity in several classes counts in each.
    pub per_class: BTreeMap<HallucinationClass, TurnedInto>,
    /// Every hallucinated entity once.
    pub all: TurnedInto,
}

/// Compares the free and the masked answers of one checkpoint.
///
/// Entities that both answers share, in order, are taken as fixed points; between two fixed points the first entity of
/// the free answer corresponds to the first of the masked one, and so on. Outputs that could not be parsed, or were cut
/// off, hold nothing to compare and are left to [`crate::hallucinations`].
///
/// # Errors
/// Where the three do not hold the same sentences in the same order.
pub fn mask_effect(
    gold: &[Sentence],
    free: &[Generation],
    masked: &[Generation],
    schema: &Schema,
) -> Result<MaskEffect> {
    if free.len() != masked.len() {
        return Err(MetricsError::DifferentLengths { gold: free.len(), predicted: masked.len() });
    }
    let mut effect = MaskEffect::default();
    for (free, masked) in pair(gold, free)?.zip(pair(gold, masked)?) {
        let ((sentence, free), (_, masked)) = (free?, masked?);
        let counterparts = counterparts(&free.predictions, &masked.predictions);
        let outcomes = Pairing::new(sentence, masked).of_predictions;
        let classes = classify(sentence, &free.predictions, schema);
        for ((classes, counterpart), prediction) in classes.zip(counterparts).zip(&free.predictions) {
            if classes.is_empty() {
                continue;
            }
            let count = |turned: &mut TurnedInto| {
                let slot = match counterpart {
                    None => &mut turned.dropped,
                    Some(index) if same(prediction, &masked.predictions[index]) => &mut turned.kept,
                    Some(index) => match outcomes[index].outcome {
                        Outcome::Correct => &mut turned.correct,
                        Outcome::WrongType => &mut turned.wrong_type,
                        Outcome::Boundary | Outcome::BoundaryAndType => &mut turned.boundary,
                        Outcome::Spurious => &mut turned.spurious,
                    },
                };
                *slot += 1;
            };
            count(&mut effect.all);
            for class in classes {
                count(effect.per_class.entry(class).or_default());
            }
        }
    }
    Ok(effect)
}

fn same(a: &Prediction, b: &Prediction) -> bool {
    a.kind == b.kind && a.surface == b.surface
}

/// For every free prediction the index of the masked one that corresponds to it.
fn counterparts(free: &[Prediction], masked: &[Prediction]) -> Vec<Option<usize>> {
    // Longest common subsequence: lengths[i][j] of free[i..] and masked[j..].
    let mut lengths = vec![vec![0; masked.len() + 1]; free.len() + 1];
    for i in (0..free.len()).rev() {
        for j in (0..masked.len()).rev() {
            lengths[i][j] = if same(&free[i], &masked[j]) {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let mut found = vec![None; free.len()];
    let (mut i, mut j) = (0, 0);
    // Begin of the stretch since the latest fixed point.
    let mut stretch = (0, 0);
    let mut fill = |from: (usize, usize), to: (usize, usize)| {
        for (slot, index) in found[from.0..to.0].iter_mut().zip(from.1..to.1) {
            *slot = Some(index);
        }
    };
    while i < free.len() && j < masked.len() {
        if same(&free[i], &masked[j]) {
            fill(stretch, (i, j));
            fill((i, j), (i + 1, j + 1));
            (i, j) = (i + 1, j + 1);
            stretch = (i, j);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    fill(stretch, (free.len(), masked.len()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, japan};

    #[test]
    fn what_the_mask_turned_them_into() {
        let (gold, free) = japan();
        let schema = Schema::new(["LOC"]);
        let turned = |masked: &[(&str, &str, Option<usize>)]| {
            let masked = answer(&gold, masked);
            let effect =
                mask_effect(std::slice::from_ref(&gold), std::slice::from_ref(&free), &[masked], &schema).unwrap();
            assert_eq!(effect.per_class[&HallucinationClass::OutOfText], effect.all);
            effect.all
        };
        let start = [("LOC", "Japan", Some(0)), ("LOC", "Syria", Some(11))];
        let with = |last| turned(&[start[0], start[1], last]);
        let one = TurnedInto::default();
        assert_eq!(with(("LOC", "Japan", Some(19))), TurnedInto { correct: 1, ..one });
        assert_eq!(with(("PER", "Japan", Some(19))), TurnedInto { wrong_type: 1, ..one });
        assert_eq!(with(("LOC", "Japan lead", Some(19))), TurnedInto { boundary: 1, ..one });
        assert_eq!(with(("LOC", "beat", Some(6))), TurnedInto { spurious: 1, ..one });
        assert_eq!(with(("LOC", "Jordan", None)), TurnedInto { kept: 1, ..one });
        assert_eq!(turned(&start), TurnedInto { dropped: 1, ..one });
        // A change before it does not move the correspondence.
        assert_eq!(turned(&[start[1], ("LOC", "Japan", Some(19))]), TurnedInto { correct: 1, ..one });
    }
}
