use inerd_text::{Prediction, Sentence, Span};

use crate::hallucination::{cuts_word, occurrences};

/// Gives every prediction without a place its **leftmost free occurrence** in the text.
///
/// Whole-word occurrences count, and others only where there is no whole-word one. Free is one that shares nothing with
/// an earlier prediction; where there is none, one that no earlier prediction of the same type has (nested entities);
/// where there is none either, the prediction stays without a place.
pub fn align(sentence: &Sentence, predictions: &mut [Prediction]) {
    for index in 0..predictions.len() {
        let (earlier, rest) = predictions.split_at_mut(index);
        let Some(prediction) = rest.first_mut().filter(|p| p.span.is_none()) else { continue };
        let all: Vec<Span> = occurrences(&sentence.text, &prediction.surface).collect();
        let whole: Vec<Span> = all.iter().copied().filter(|&place| !cuts_word(sentence, place)).collect();
        let candidates = if whole.is_empty() { all } else { whole };
        let apart = |place: &&Span| !earlier.iter().filter_map(|p| p.span).any(|taken| taken.overlaps(**place));
        let own = |place: &&Span| !earlier.iter().any(|p| p.span == Some(**place) && p.kind == prediction.kind);
        prediction.span = candidates.iter().find(apart).or_else(|| candidates.iter().find(own)).copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, sentence};

    fn places(text: &str, predictions: &[(&str, &str)]) -> Vec<Option<usize>> {
        let gold = sentence("s", text, &[]);
        let unplaced: Vec<_> = predictions.iter().map(|&(kind, surface)| (kind, surface, None)).collect();
        let mut predictions = answer(&gold, &unplaced).predictions;
        align(&gold, &mut predictions);
        predictions.iter().map(|p| p.span.map(|s| s.start)).collect()
    }

    #[test]
    fn leftmost_free_and_whole_words_first() {
        let text = "business in us and us";
        assert_eq!(places(text, &[("LOC", "us"), ("LOC", "us"), ("LOC", "us")]), [Some(12), Some(19), None]);
        assert_eq!(places(text, &[("LOC", "bus")]), [Some(0)]);
        assert_eq!(places(text, &[("LOC", "Mars")]), [None]);
    }

    #[test]
    fn nested_entities_share_their_only_occurrence() {
        let nested = [("ORG", "Bank of England"), ("LOC", "England"), ("LOC", "England")];
        assert_eq!(places("Bank of England", &nested), [Some(0), Some(8), None]);
    }
}
