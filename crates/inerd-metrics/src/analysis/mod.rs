//! Where and how answers go wrong.

mod calibration;
mod confusion;
mod flips;
mod masking;
mod pairing;
mod slices;

pub use calibration::{Calibration, CalibrationBin};
pub use confusion::{Boundaries, Confusion};
pub use flips::{Flips, flips, recovered};
pub use masking::{MaskEffect, TurnedInto, mask_effect};
pub use pairing::Outcome;
pub use slices::{Slice, Training};

use inerd_text::{Generation, Sentence};
use serde::{Deserialize, Serialize};

use crate::score::pair;
use crate::{Result, analysis::slices::Slices};

/// The errors of one set of answers, under the span convention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorAnalysis {
    pub confusion: Confusion,
    pub boundaries: Boundaries,
    /// By the mention's length in tokens. True positives and misses by gold, false positives by prediction, here and
    /// below.
    pub by_length: Vec<Slice>,
    /// By how often the type occurs in the training data; in gold where there are none.
    pub by_type_frequency: Vec<Slice>,
    /// By gold entities per token of the sentence.
    pub by_density: Vec<Slice>,
    /// By the third of the sentence in which the mention begins; `nowhere` for content that is not in the text.
    pub by_position: Vec<Slice>,
    /// By whether the training data hold the surface as an entity. Empty where no training data were given.
    pub by_seen: Vec<Slice>,
    /// By whether the training data give the surface one type or several. Empty where none were given.
    pub by_ambiguity: Vec<Slice>,
    /// Absent where no prediction has a confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

impl ErrorAnalysis {
    /// # Errors
    /// Where gold and predictions do not hold the same sentences in the same order.
    pub fn new(gold: &[Sentence], predicted: &[Generation], training: Option<&Training>) -> Result<Self> {
        let pairs = pair(gold, predicted)?;
        let mut confusion = Confusion::default();
        let mut boundaries = Boundaries::default();
        let mut slices = Slices::new(gold, training);
        let mut judged = Vec::new();
        for pair in pairs {
            let (sentence, generation) = pair?;
            let pairing = pairing::Pairing::new(sentence, generation);
            confusion.add(sentence, generation, &pairing);
            boundaries.add(sentence, generation, &pairing);
            slices.add(sentence, generation, &pairing);
            for (prediction, outcome) in generation.predictions.iter().zip(&pairing.of_predictions) {
                judged.extend(prediction.confidence.map(|c| (c, outcome.is_correct())));
            }
        }
        let slices = slices.finish();
        Ok(Self {
            confusion,
            boundaries,
            by_length: slices.length,
            by_type_frequency: slices.type_frequency,
            by_density: slices.density,
            by_position: slices.position,
            by_seen: slices.seen,
            by_ambiguity: slices.ambiguity,
            calibration: Calibration::new(&judged),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Counts;
    use crate::testing::{answer, sentence};

    fn case() -> (Sentence, Generation) {
        let gold = sentence(
            "s",
            "Ada Lovelace met Charles Babbage of London in Turin .",
            &[("PER", "Ada Lovelace", 0), ("PER", "Charles Babbage", 17), ("LOC", "London", 36), ("LOC", "Turin", 46)],
        );
        let predicted = answer(
            &gold,
            &[
                ("PER", "Ada Lovelace", Some(0)),
                ("PER", "Babbage of", Some(25)),
                ("ORG", "London", Some(36)),
                ("LOC", "met", Some(13)),
                ("LOC", "Rome", None),
            ],
        );
        (gold, predicted)
    }

    fn counts(slices: &[Slice], label: &str) -> Counts {
        slices.iter().find(|s| s.label == label).unwrap_or_else(|| panic!("{label}: {slices:?}")).score.counts
    }

    #[test]
    fn every_error_has_its_kind() {
        let (gold, predicted) = case();
        let training = Training::new(&[sentence(
            "t",
            "Turin Turin London",
            &[("LOC", "Turin", 0), ("ORG", "Turin", 6), ("LOC", "London", 12)],
        )]);
        let analysis = ErrorAnalysis::new(&[gold], &[predicted], Some(&training)).unwrap();
        let Confusion { pairs, missed, spurious } = &analysis.confusion;
        assert_eq!((pairs["PER"]["PER"], pairs["LOC"]["ORG"]), (2, 1));
        assert_eq!((missed["LOC"], missed.get("PER"), spurious["LOC"]), (1, None, 2));
        let b = analysis.boundaries;
        assert_eq!((b.left, b.right, b.both, b.too_long, b.too_short, b.shifted), (0, 0, 1, 0, 0, 1));

        assert_eq!(counts(&analysis.by_length, "1"), Counts { tp: 0, fp: 3, fn_: 2 });
        assert_eq!(counts(&analysis.by_length, "2"), Counts { tp: 1, fp: 1, fn_: 1 });
        assert_eq!(counts(&analysis.by_position, "first third"), Counts { tp: 1, fp: 1, fn_: 1 });
        assert_eq!(counts(&analysis.by_position, "nowhere"), Counts { tp: 0, fp: 1, fn_: 0 });
        assert_eq!(counts(&analysis.by_seen, "seen"), Counts { tp: 0, fp: 1, fn_: 2 });
        assert_eq!(counts(&analysis.by_seen, "unseen"), Counts { tp: 1, fp: 3, fn_: 1 });
        assert_eq!(counts(&analysis.by_ambiguity, "several types"), Counts { tp: 0, fp: 0, fn_: 1 });
        assert_eq!(counts(&analysis.by_type_frequency, "1 to 9"), Counts { tp: 0, fp: 3, fn_: 2 });
        assert_eq!(counts(&analysis.by_type_frequency, "0"), Counts { tp: 1, fp: 1, fn_: 1 });
        assert_eq!(counts(&analysis.by_density, "0.3 and more"), Counts { tp: 1, fp: 4, fn_: 3 });
        assert_eq!(analysis.calibration, None);
    }

    #[test]
    fn every_slicing_holds_every_entity_once() {
        let (gold, predicted) = case();
        let analysis = ErrorAnalysis::new(&[gold], &[predicted], Some(&Training::default())).unwrap();
        for slices in [
            &analysis.by_length,
            &analysis.by_type_frequency,
            &analysis.by_density,
            &analysis.by_position,
            &analysis.by_seen,
            &analysis.by_ambiguity,
        ] {
            let mut total = Counts::default();
            for slice in slices {
                total += slice.score.counts;
            }
            assert_eq!(total, Counts { tp: 1, fp: 4, fn_: 3 }, "{slices:?}");
        }
    }
}
