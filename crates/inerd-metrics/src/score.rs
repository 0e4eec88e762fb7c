use std::collections::HashMap;

use inerd_text::{Generation, Schema, Sentence};

use crate::counts::{Counts, Prf, Score, Scores, SentenceCounts};
use crate::{Convention, MetricsError, Result};

/// Pairs gold sentences with answers, by position. Ids must agree wherever both sides have one.
pub(crate) fn pair<'a>(
    gold: &'a [Sentence],
    predicted: &'a [Generation],
) -> Result<impl Iterator<Item = (&'a Sentence, &'a Generation)> + Clone> {
    if gold.len() != predicted.len() {
        return Err(MetricsError::DifferentLengths { gold: gold.len(), predicted: predicted.len() });
    }
    let pairs = gold.iter().zip(predicted);
    for (index, (sentence, generation)) in pairs.clone().enumerate() {
        if !sentence.id.is_empty() && !generation.id.is_empty() && sentence.id != generation.id {
            return Err(MetricsError::DifferentIds {
                position: index + 1,
                gold: sentence.id.clone(),
                predicted: generation.id.clone(),
            });
        }
    }
    Ok(pairs)
}

/// Scores by the primary convention, [`Convention::Span`]. No schema is needed: an unknown type is a false positive.
pub fn score_spans(gold: &[Sentence], predicted: &[Generation]) -> Result<Scores> {
    score(Convention::Span, gold, predicted, &Schema::default())
}

/// Scores by one convention. `schema` holds the types that the system was asked for; only the conventions that drop
/// predictions of unknown types look at it.
///
/// # Errors
/// Where gold and predictions do not hold the same sentences in the same order.
pub fn score(convention: Convention, gold: &[Sentence], predicted: &[Generation], schema: &Schema) -> Result<Scores> {
    Ok(tally(convention, gold, predicted, schema)?.0)
}

/// [`score`], and the counts of every sentence.
pub(crate) fn tally(
    convention: Convention,
    gold: &[Sentence],
    predicted: &[Generation],
    _schema: &Schema,
) -> Result<(Scores, SentenceCounts)> {
    let mut tally = Tally::with_capacity(gold.len());
    let mut matched = Vec::new();
    for (sentence, generation) in pair(gold, predicted)? {
        match convention {
            Convention::Span => count_spans(sentence, generation, &mut matched, &mut tally),
        }
        tally.end_sentence();
    }
    Ok(tally.finish(convention))
}

/// A predicted span is correct where gold has it with the same type; each gold entity is matched at most once.
fn count_spans<'a>(sentence: &'a Sentence, generation: &'a Generation, matched: &mut Vec<bool>, tally: &mut Tally<'a>) {
    let gold = &sentence.entities;
    matched.clear();
    matched.resize(gold.len(), false);
    for prediction in &generation.predictions {
        let counterpart = prediction.span.and_then(|span| {
            let mut candidates = gold.iter().zip(matched.iter_mut());
            candidates.find(|(g, taken)| !**taken && g.span == span && g.kind == prediction.kind)
        });
        if let Some((_, taken)) = counterpart {
            *taken = true;
            tally.tp(&prediction.kind);
        } else {
            tally.fp(&prediction.kind);
        }
    }
    for (entity, _) in gold.iter().zip(&*matched).filter(|(_, taken)| !**taken) {
        tally.fn_(&entity.kind);
    }
}

/// Adds up counts over all sentences, over each sentence and over each type.
#[derive(Debug, Default)]
pub(crate) struct Tally<'a> {
    slots: HashMap<&'a str, usize>,
    types: Vec<(&'a str, Counts)>,
    sentence: Counts,
    sentences: SentenceCounts,
}

impl<'a> Tally<'a> {
    pub(crate) fn with_capacity(sentences: usize) -> Self {
        Self { sentences: SentenceCounts::with_capacity(sentences), ..Self::default() }
    }

    fn of_type(&mut self, kind: &'a str) -> &mut Counts {
        let types = &mut self.types;
        let slot = *self.slots.entry(kind).or_insert_with(|| {
            types.push((kind, Counts::default()));
            types.len() - 1
        });
        &mut types[slot].1
    }

    pub(crate) fn tp(&mut self, kind: &'a str) {
        self.of_type(kind).tp += 1;
        self.sentence.tp += 1;
    }

    pub(crate) fn fp(&mut self, kind: &'a str) {
        self.of_type(kind).fp += 1;
        self.sentence.fp += 1;
    }

    pub(crate) fn fn_(&mut self, kind: &'a str) {
        self.of_type(kind).fn_ += 1;
        self.sentence.fn_ += 1;
    }

    pub(crate) fn end_sentence(&mut self) {
        self.sentences.push(std::mem::take(&mut self.sentence));
    }

    pub(crate) fn finish(self, convention: Convention) -> (Scores, SentenceCounts) {
        let per_type = self.types.into_iter().map(|(kind, counts)| (kind.to_owned(), Score::from(counts)));
        (Scores::new(convention, self.sentences.total().into(), per_type.collect()), self.sentences)
    }
}

impl Scores {
    fn new(convention: Convention, micro: Score, per_type: std::collections::BTreeMap<String, Score>) -> Self {
        let macro_ = Prf::mean(per_type.values().map(|s| (&s.prf, 1.0)));
        let weighted = Prf::mean(per_type.values().map(|s| (&s.prf, s.support as f64)));
        Self { convention, signature: convention.signature().to_string(), micro, macro_, weighted, per_type }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answer, japan};

    #[test]
    fn the_worked_case_scores_two_thirds() {
        let (gold, predicted) = japan();
        let scores = score_spans(&[gold], &[predicted]).unwrap();
        assert_eq!(scores.signature, "NER|conv:span|occ:leftmost-free|norm:none|unaligned:fp|v1");
        assert_eq!(scores.micro.counts, Counts { tp: 2, fp: 1, fn_: 1 });
        let third = 2.0 / 3.0;
        assert_eq!(scores.micro.prf, Prf { precision: third, recall: third, f1: third });
        assert_eq!(scores.micro.support, 3);
        assert_eq!(scores.per_type["LOC"].counts, scores.micro.counts);
        assert_eq!(scores.macro_, scores.micro.prf);
    }

    #[test]
    fn nothing_to_find_and_nothing_found_is_zero_and_never_nan() {
        for (gold, predicted) in [(vec![], vec![]), (vec![Sentence::default()], vec![Generation::default()])] {
            let scores = score_spans(&gold, &predicted).unwrap();
            assert_eq!(scores.micro, Score::default());
            assert_eq!((scores.macro_, scores.weighted), (Prf::default(), Prf::default()));
        }
    }

    #[test]
    fn sides_that_do_not_belong_together_are_an_error() {
        let (gold, mut predicted) = japan();
        predicted.id = "another".into();
        let error = score_spans(std::slice::from_ref(&gold), &[predicted]).unwrap_err().to_string();
        assert!(error.contains("`japan`") && error.contains("`another`"), "{error}");
        let error = score_spans(&[gold], &[]).unwrap_err().to_string();
        assert!(error.contains("1 gold sentences with 0 predicted"), "{error}");
    }

    #[test]
    fn a_repeated_prediction_is_correct_once() {
        let (gold, _) = japan();
        let predicted = answer(&gold, &[("LOC", "Japan", Some(0)), ("LOC", "Japan", Some(0))]);
        let scores = score_spans(&[gold], &[predicted]).unwrap();
        assert_eq!(scores.micro.counts, Counts { tp: 1, fp: 1, fn_: 2 });
    }
}
