use inerd_text::{Generation, Sentence};

use crate::tally::Tally;

/// A predicted span is correct where gold has it with the same type; each gold entity is matched at most once.
///
/// `matched` is scratch space, kept between sentences.
pub(crate) fn spans<'a>(
    sentence: &'a Sentence,
    generation: &'a Generation,
    matched: &mut Vec<bool>,
    tally: &mut Tally<'a>,
) {
    let predicted = generation.predictions.iter().map(|p| (p.kind.as_str(), p.span));
    match_spans(sentence.entities.iter().map(|e| (e.kind.as_str(), e.span)), predicted, matched, tally);
}

/// Compares (type, place) pairs as multisets; a prediction without a place is a false positive.
pub(crate) fn match_spans<'a, P: PartialEq>(
    gold: impl Iterator<Item = (&'a str, P)> + Clone,
    predicted: impl Iterator<Item = (&'a str, Option<P>)>,
    matched: &mut Vec<bool>,
    tally: &mut Tally<'a>,
) {
    matched.clear();
    matched.extend(gold.clone().map(|_| false));
    for (kind, place) in predicted {
        let counterpart = place.and_then(|place| {
            let mut candidates = gold.clone().zip(matched.iter_mut());
            candidates.find(|((k, p), taken)| !**taken && *p == place && *k == kind)
        });
        if let Some((_, taken)) = counterpart {
            *taken = true;
            tally.tp(kind);
        } else {
            tally.fp(kind);
        }
    }
    for ((kind, _), _) in gold.zip(&*matched).filter(|(_, taken)| !**taken) {
        tally.fn_(kind);
    }
}
