use inerd_text::{Generation, Schema, Sentence};

use crate::counts::{Scores, SentenceCounts};
use crate::tally::Tally;
use crate::{Convention, MetricsError, Result, conventions};

/// Pairs gold sentences with answers, by position. Ids must agree wherever both sides have one.
pub(crate) fn pair<'a>(
    gold: &'a [Sentence],
    predicted: &'a [Generation],
) -> Result<impl Iterator<Item = Result<(&'a Sentence, &'a Generation)>>> {
    if gold.len() != predicted.len() {
        return Err(MetricsError::DifferentLengths { gold: gold.len(), predicted: predicted.len() });
    }
    Ok(gold.iter().zip(predicted).enumerate().map(|(index, (sentence, generation))| {
        let (of_gold, of_predicted) = (&sentence.id, &generation.id);
        if of_gold == of_predicted || of_gold.is_empty() || of_predicted.is_empty() {
            return Ok((sentence, generation));
        }
        Err(MetricsError::DifferentIds { position: index + 1, gold: of_gold.clone(), predicted: of_predicted.clone() })
    }))
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
    Ok(score_per_sentence(convention, gold, predicted, schema)?.0)
}

/// [`score`], and the counts of every sentence.
pub fn score_per_sentence(
    convention: Convention,
    gold: &[Sentence],
    predicted: &[Generation],
    schema: &Schema,
) -> Result<(Scores, SentenceCounts)> {
    let pairs = pair(gold, predicted)?;
    let mut tally = Tally::with_capacity(gold.len());
    let mut matched = Vec::new();
    for pair in pairs {
        let (sentence, generation) = pair?;
        match convention {
            Convention::Span => conventions::spans(sentence, generation, &mut matched, &mut tally),
            Convention::Seqeval | Convention::SeqevalStrict => conventions::tagged(sentence, generation, &mut tally),
            Convention::Authors => conventions::authors(sentence, generation, schema, &mut tally),
            Convention::UniversalNer => conventions::universal_ner(sentence, generation, &mut tally),
            Convention::Gner => conventions::gner(sentence, generation, schema, &mut tally),
            Convention::Gollie => conventions::gollie(sentence, generation, schema, &mut tally),
            Convention::Padellm => conventions::padellm(sentence, generation, &mut tally),
            Convention::NervaluateStrict
            | Convention::NervaluateExact
            | Convention::NervaluatePartial
            | Convention::NervaluateType => {
                conventions::nervaluate(convention, sentence, generation, schema, &mut tally);
            }
        }
        tally.end_sentence();
    }
    Ok(tally.finish(convention))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{Counts, Prf, Score};
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
    fn the_worked_case_under_every_convention() {
        let (gold, predicted) = japan();
        let schema = Schema::new(["LOC"]);
        let f1 = |convention| {
            let scores =
                score(convention, std::slice::from_ref(&gold), std::slice::from_ref(&predicted), &schema).unwrap();
            format!("{:.1}", 100.0 * scores.micro.prf.f1)
        };
        for (convention, expected) in [
            (Convention::Span, "66.7"),
            (Convention::Seqeval, "80.0"),
            (Convention::SeqevalStrict, "80.0"),
            (Convention::Authors, "80.0"),
            (Convention::UniversalNer, "80.0"),
            (Convention::Gner, "100.0"),
            (Convention::Gollie, "80.0"),
            (Convention::Padellm, "80.0"),
            (Convention::NervaluateStrict, "66.7"),
            (Convention::NervaluateExact, "66.7"),
            (Convention::NervaluatePartial, "66.7"),
            (Convention::NervaluateType, "66.7"),
        ] {
            assert_eq!(f1(convention), expected, "{convention}");
        }
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
