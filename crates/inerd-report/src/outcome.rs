//! What became of every prediction of a sentence: the words of the sentence browser and of the error analysis.

use inerd_text::{Entity, Prediction};
use serde::Serialize;

/// What became of a prediction. The order is the page's code for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u8")]
pub(crate) enum Outcome {
    Correct,
    /// The right place, another type.
    WrongType,
    /// The right type, overlapping the right place.
    Boundary,
    /// Another type, overlapping.
    Both,
    /// Nothing there in gold.
    Spurious,
    /// No place in the text.
    NotInText,
}

impl From<Outcome> for u8 {
    fn from(outcome: Outcome) -> Self {
        outcome as Self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Of every prediction, with the gold entity that it is compared with.
    pub(crate) outcomes: Vec<(Outcome, Option<usize>)>,
    /// Gold entities that no prediction was paired with.
    pub(crate) missed: Vec<usize>,
}

impl Comparison {
    /// Every prediction is correct and every gold entity was predicted.
    pub(crate) fn exact(&self, gold: usize) -> bool {
        self.outcomes.len() == gold && self.outcomes.iter().all(|(o, _)| *o == Outcome::Correct)
    }
}

/// Pairs every prediction with at most one gold entity and the other way round, as `inerd_metrics` does for its error
/// analysis (a test holds the two together): first those that agree entirely, then those in the same place, then
/// overlapping ones of the same type, then any overlapping ones; the largest overlap first.
pub(crate) fn compare(gold: &[Entity], predictions: &[Prediction]) -> Comparison {
    let mut taken = vec![false; gold.len()];
    let mut outcomes: Vec<(Outcome, Option<usize>)> = (predictions.iter())
        .map(|p| (if p.span.is_some() { Outcome::Spurious } else { Outcome::NotInText }, None))
        .collect();
    for step in [Outcome::Correct, Outcome::WrongType, Outcome::Boundary, Outcome::Both] {
        for (prediction, paired) in predictions.iter().zip(&mut outcomes) {
            let Some(span) = prediction.span.filter(|_| paired.1.is_none()) else { continue };
            let fits = |g: &Entity| match step {
                Outcome::Correct => g.span == span && g.kind == prediction.kind,
                Outcome::WrongType => g.span == span,
                Outcome::Boundary => g.span.overlaps(span) && g.kind == prediction.kind,
                _ => g.span.overlaps(span),
            };
            let overlap = |g: &Entity| g.span.end.min(span.end).saturating_sub(g.span.start.max(span.start));
            let free = gold.iter().enumerate().filter(|(i, g)| !taken[*i] && fits(g));
            if let Some((i, _)) = free.min_by_key(|(_, g)| std::cmp::Reverse(overlap(g))) {
                taken[i] = true;
                *paired = (step, Some(i));
            }
        }
    }
    Comparison { outcomes, missed: (0..gold.len()).filter(|&i| !taken[i]).collect() }
}

#[cfg(test)]
mod tests {
    use inerd_text::Span;

    use super::*;

    fn predicted(kind: &str, span: Option<(usize, usize)>) -> Prediction {
        Prediction {
            kind: kind.into(),
            surface: "x".into(),
            span: span.map(|(s, e)| Span::new(s, e)),
            confidence: None,
        }
    }

    #[test]
    fn every_outcome_is_told_apart() {
        use Outcome::{Both, Boundary, Correct, NotInText, Spurious, WrongType};
        let gold = [
            Entity::new("Person", 0, 3),
            Entity::new("Person", 10, 20),
            Entity::new("Location", 30, 40),
            Entity::new("Location", 50, 60),
            Entity::new("Location", 70, 80),
        ];
        let predictions = [
            predicted("Person", Some((0, 3))),
            predicted("Location", Some((10, 20))),
            predicted("Location", Some((30, 35))),
            predicted("Person", Some((50, 55))),
            predicted("Person", Some((90, 95))),
            predicted("Person", None),
            predicted("Person", Some((0, 3))),
        ];
        let comparison = compare(&gold, &predictions);
        let expected = [
            (Correct, Some(0)),
            (WrongType, Some(1)),
            (Boundary, Some(2)),
            (Both, Some(3)),
            (Spurious, None),
            (NotInText, None),
            (Spurious, None),
        ];
        assert_eq!(comparison.outcomes, expected);
        assert_eq!(comparison.missed, [4]);
        assert!(!comparison.exact(5));
    }

    /// The page and the stored analysis must not tell two stories.
    #[test]
    fn the_pairing_is_that_of_the_error_analysis() {
        use inerd_metrics::analysis::ErrorAnalysis;
        use inerd_text::{Generation, Sentence};
        let kinds = ["A", "B"];
        // Spans and types from a small congruential generator: many overlaps, repeats and ties.
        let mut state = 7u64;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..2_000 {
            let mut span = || {
                let start = draw(12) as usize;
                (kinds[draw(2) as usize], start, start + 1 + draw(5) as usize)
            };
            let mut entities: Vec<Entity> = (0..4).map(|_| span()).map(|(k, s, e)| Entity::new(k, s, e)).collect();
            entities.sort();
            let predictions: Vec<Prediction> =
                (0..4).map(|_| span()).map(|(k, s, e)| predicted(k, Some((s, e)))).collect();
            let comparison = compare(&entities, &predictions);
            let sentence = Sentence { text: "x".repeat(20), entities, ..Sentence::default() };
            let generation = Generation { predictions, ..Generation::default() };
            let errors =
                ErrorAnalysis::new(std::slice::from_ref(&sentence), std::slice::from_ref(&generation), None).unwrap();
            let missed: u64 = errors.confusion.missed.values().sum();
            let spurious: u64 = errors.confusion.spurious.values().sum();
            let of = |o: Outcome| comparison.outcomes.iter().filter(|(found, _)| *found == o).count() as u64;
            assert_eq!(
                (comparison.missed.len() as u64, of(Outcome::Spurious)),
                (missed, spurious),
                "{sentence:?} {generation:?}"
            );
            let b = errors.boundaries;
            assert_eq!(
                of(Outcome::Boundary) + of(Outcome::Both),
                b.left + b.right + b.both,
                "{sentence:?} {generation:?}"
            );
        }
    }

    #[test]
    fn exact_means_nothing_too_many_and_nothing_missed() {
        let gold = [Entity::new("Person", 0, 3)];
        assert!(compare(&gold, &[predicted("Person", Some((0, 3)))]).exact(1));
        assert!(!compare(&gold, &[]).exact(1));
        assert!(compare(&[], &[]).exact(0));
    }
}
