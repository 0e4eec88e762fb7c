use inerd_text::{Generation, Sentence, Span};
use serde::{Deserialize, Serialize};

/// What a prediction turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Type and boundaries of a gold entity.
    Correct,
    /// Boundaries of a gold entity, another type.
    WrongType,
    /// Overlaps a gold entity of its type.
    Boundary,
    /// Overlaps a gold entity of another type.
    BoundaryAndType,
    /// None of these.
    Spurious,
}

/// The outcome of a prediction, and the gold entity that it was paired with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) outcome: Outcome,
    pub(crate) gold: Option<usize>,
}

impl Judged {
    pub(crate) fn is_correct(self) -> bool {
        self.outcome == Outcome::Correct
    }
}

/// Pairs each prediction with at most one gold entity and the other way round: first those that agree entirely, then
/// those with the same boundaries, then overlapping ones of the same type, then any overlap; in text order, larger
/// overlaps first.
#[derive(Debug)]
pub(crate) struct Pairing {
    /// Parallel to the predictions.
    pub(crate) of_predictions: Vec<Judged>,
    /// Indices of gold entities without a prediction.
    pub(crate) missed: Vec<usize>,
}

impl Pairing {
    pub(crate) fn new(sentence: &Sentence, generation: &Generation) -> Self {
        let (gold, predicted) = (&sentence.entities, &generation.predictions);
        let mut of_predictions = vec![Judged { outcome: Outcome::Spurious, gold: None }; predicted.len()];
        let mut taken = vec![false; gold.len()];
        for outcome in [Outcome::Correct, Outcome::WrongType, Outcome::Boundary, Outcome::BoundaryAndType] {
            for (prediction, judged) in predicted.iter().zip(&mut of_predictions) {
                let Some(span) = prediction.span.filter(|_| judged.gold.is_none()) else { continue };
                let fits = |g: &inerd_text::Entity| match outcome {
                    Outcome::Correct => g.span == span && g.kind == prediction.kind,
                    Outcome::WrongType => g.span == span,
                    Outcome::Boundary => g.span.overlaps(span) && g.kind == prediction.kind,
                    _ => g.span.overlaps(span),
                };
                let candidates = gold.iter().enumerate().filter(|(i, g)| !taken[*i] && fits(g));
                // The first of the largest overlaps.
                let best = candidates.min_by_key(|(_, g)| std::cmp::Reverse(overlap(g.span, span)));
                if let Some((index, _)) = best {
                    taken[index] = true;
                    *judged = Judged { outcome, gold: Some(index) };
                }
            }
        }
        let missed = (0..gold.len()).filter(|&i| !taken[i]).collect();
        Self { of_predictions, missed }
    }
}

fn overlap(a: Span, b: Span) -> usize {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}
