//! Scores of tag strings (`B-PER I-PER O`), token by token and without building lists of entities.
//!
//! Published scorers disagree about tags that break their scheme. Each set of [`TagRules`] is here as a machine that
//! reads one tag at a time and says which entity ended before it; gold and prediction run in lockstep, and an entity
//! is correct where both machines end one of the same type and beginning at the same token.

mod conlleval;
mod nervaluate;
mod scheme;
mod seqeval;
mod strict;

use std::fmt;

pub use scheme::{Scheme, UnknownScheme};

use crate::counts::{Scores, SentenceCounts};
use crate::tally::Tally;
use crate::{Convention, MetricsError, Result};

/// Whose reading of the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagRules {
    /// The script of the CoNLL shared tasks: lenient, knows `B I E O [ ]`.
    Conlleval,
    /// seqeval without `mode`: lenient, knows `B I E S O`.
    Seqeval,
    /// seqeval with `mode="strict"`.
    SeqevalStrict(Scheme),
    /// nervaluate's list loader under one of its four schemata; knows `B I O`.
    Nervaluate(Convention),
}

impl TagRules {
    /// The convention that the figures belong to.
    pub fn convention(self) -> Convention {
        match self {
            Self::Conlleval => Convention::Span,
            Self::Seqeval => Convention::Seqeval,
            Self::SeqevalStrict(_) => Convention::SeqevalStrict,
            Self::Nervaluate(schema) => schema,
        }
    }
}

/// An entity that ended: its type and the position of its first token, counted as the rules count.
pub(crate) type Ended<'a> = Option<(&'a str, usize)>;

/// Reads tags one at a time.
pub(crate) trait Reader<'a> {
    /// The entity that ended *before* this tag, if any.
    fn read(&mut self, tag: &'a str) -> std::result::Result<Ended<'a>, BadTag>;

    /// The entity that ended with the sentence, if any.
    fn end_sentence(&mut self) -> Ended<'a>;
}

/// A tag that the rules refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadTag(pub(crate) &'static str);

/// Scores predicted tags against gold tags, sentence by sentence.
///
/// # Errors
/// Where the two sides differ in the number of sentences or tokens, or the rules refuse a tag.
pub fn score_tags<S, T>(rules: TagRules, gold: &[T], predicted: &[T]) -> Result<Scores>
where
    S: AsRef<str>,
    T: AsRef<[S]>,
{
    Ok(score_tags_per_sentence(rules, gold, predicted)?.0)
}

/// [`score_tags`], and the counts of every sentence.
pub fn score_tags_per_sentence<S, T>(rules: TagRules, gold: &[T], predicted: &[T]) -> Result<(Scores, SentenceCounts)>
where
    S: AsRef<str>,
    T: AsRef<[S]>,
{
    if gold.len() != predicted.len() {
        return Err(MetricsError::DifferentLengths { gold: gold.len(), predicted: predicted.len() });
    }
    let scheme = if let TagRules::SeqevalStrict(scheme) = rules { Some(scheme) } else { None };
    let (mut scores, counts) = match rules {
        TagRules::Conlleval => conlleval::score(gold, predicted),
        TagRules::Seqeval => lockstep::<_, _, seqeval::Seqeval>(rules, gold, predicted, Default::default),
        TagRules::SeqevalStrict(scheme) => lockstep(rules, gold, predicted, || strict::Strict::new(scheme)),
        TagRules::Nervaluate(schema) => nervaluate::score(schema, gold, predicted),
    }?;
    scores.signature = rules.convention().signature().of_tags(scheme).to_string();
    Ok((scores, counts))
}

/// The entities of one sentence's tags as (type, first token, token after the last), read leniently in any scheme: as
/// seqeval reads them by default, with `L` and `U` for `E` and `S`.
///
/// # Errors
/// Where a tag is empty.
pub fn tagged_entities<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Vec<(&'a str, usize, usize)>> {
    let mut reader = seqeval::Seqeval::default();
    let mut entities = Vec::new();
    let mut length = 0;
    for tag in tags {
        let ended = reader.read_any_scheme(tag).map_err(|bad| bad.at("given", 0, length, tag))?;
        entities.extend(ended.map(|(kind, first)| (kind, first, length)));
        length += 1;
    }
    entities.extend(reader.end_sentence().map(|(kind, first)| (kind, first, length)));
    Ok(entities)
}

fn lockstep<'a, S, T, R>(
    rules: TagRules,
    gold: &'a [T],
    predicted: &'a [T],
    reader: impl Fn() -> R,
) -> Result<(Scores, SentenceCounts)>
where
    S: AsRef<str> + 'a,
    T: AsRef<[S]>,
    R: Reader<'a>,
{
    let mut tally = Tally::with_capacity(gold.len());
    let (mut of_gold, mut of_predicted) = (reader(), reader());
    for (sentence, (gold, predicted)) in gold.iter().zip(predicted).enumerate() {
        let (gold, predicted) = (gold.as_ref(), predicted.as_ref());
        same_length(sentence, gold.len(), predicted.len())?;
        for (token, (gold, predicted)) in gold.iter().zip(predicted).enumerate() {
            let (gold, predicted) = (gold.as_ref(), predicted.as_ref());
            let of_gold = of_gold.read(gold).map_err(|bad| bad.at("gold", sentence, token, gold))?;
            let of_predicted =
                of_predicted.read(predicted).map_err(|bad| bad.at("predicted", sentence, token, predicted))?;
            compare(of_gold, of_predicted, &mut tally);
        }
        compare(of_gold.end_sentence(), of_predicted.end_sentence(), &mut tally);
        tally.end_sentence();
    }
    Ok(tally.finish(rules.convention()))
}

fn compare<'a>(gold: Ended<'a>, predicted: Ended<'a>, tally: &mut Tally<'a>) {
    match (gold, predicted) {
        (None, None) => {}
        (Some(gold), Some(predicted)) if gold == predicted => tally.tp(gold.0),
        (gold, predicted) => {
            if let Some((kind, _)) = gold {
                tally.fn_(kind);
            }
            if let Some((kind, _)) = predicted {
                tally.fp(kind);
            }
        }
    }
}

pub(crate) fn same_length(sentence: usize, gold: usize, predicted: usize) -> Result<()> {
    if gold == predicted {
        return Ok(());
    }
    Err(MetricsError::DifferentTokens { sentence: sentence + 1, gold, predicted })
}

impl BadTag {
    pub(crate) fn at(self, side: &'static str, sentence: usize, token: usize, tag: &str) -> MetricsError {
        MetricsError::Tag { side, sentence: sentence + 1, token: token + 1, tag: tag.to_owned(), reason: self.0 }
    }
}

impl fmt::Display for TagRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conlleval => f.write_str("conlleval"),
            Self::SeqevalStrict(scheme) => write!(f, "seqeval-strict:{scheme}"),
            Self::Seqeval | Self::Nervaluate(_) => self.convention().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Counts;

    fn tags(lines: &[&'static str]) -> Vec<Vec<&'static str>> {
        lines.iter().map(|line| line.split_whitespace().collect()).collect()
    }

    fn micro(rules: TagRules, gold: &[&'static str], predicted: &[&'static str]) -> Counts {
        score_tags(rules, &tags(gold), &tags(predicted)).unwrap().micro.counts
    }

    #[test]
    fn a_leading_i_is_where_the_rules_part() {
        let (gold, predicted) = (["O B-PER I-PER O"], ["O I-PER I-PER O"]);
        let found = Counts { tp: 1, fp: 0, fn_: 0 };
        let lost = Counts { tp: 0, fp: 0, fn_: 1 };
        assert_eq!(micro(TagRules::Conlleval, &gold, &predicted), found);
        assert_eq!(micro(TagRules::Seqeval, &gold, &predicted), found);
        assert_eq!(micro(TagRules::SeqevalStrict(Scheme::Iob2), &gold, &predicted), lost);
        assert_eq!(micro(TagRules::Nervaluate(Convention::NervaluateStrict), &gold, &predicted), found);
    }

    #[test]
    fn sentences_do_not_run_into_each_other() {
        for rules in [TagRules::Conlleval, TagRules::Seqeval, TagRules::SeqevalStrict(Scheme::Iob2)] {
            let counts = micro(rules, &["B-PER", "I-PER"], &["B-PER", "O"]);
            assert_eq!((counts.tp, counts.fp), (1, 0), "{rules}");
        }
    }

    #[test]
    fn a_tag_that_the_rules_refuse_is_named_with_its_place() {
        let error = |rules, gold: &[&'static str], predicted: &[&'static str]| {
            score_tags(rules, &tags(gold), &tags(predicted)).unwrap_err().to_string()
        };
        let strict = error(TagRules::SeqevalStrict(Scheme::Iob2), &["O O", "O B-X"], &["O O", "O S-X"]);
        assert!(strict.contains("`S-X`") && strict.contains("sentence 2, token 2"), "{strict}");
        let lengths = error(TagRules::Seqeval, &["O O"], &["O"]);
        assert!(lengths.contains("sentence 1"), "{lengths}");
        let loader = error(TagRules::Nervaluate(Convention::NervaluateType), &["U-X"], &["O"]);
        assert!(loader.contains("`U-X`"), "{loader}");
    }

    #[test]
    fn entities_of_any_scheme() {
        let expected = [("PER", 0, 2), ("LOC", 3, 4)];
        for line in ["B-PER I-PER O B-LOC", "I-PER I-PER O I-LOC", "B-PER E-PER O S-LOC", "B-PER L-PER O U-LOC"] {
            assert_eq!(tagged_entities(line.split(' ')).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn the_signature_names_the_scheme() {
        let scores = score_tags::<&str, Vec<&str>>(TagRules::SeqevalStrict(Scheme::Bilou), &[], &[]).unwrap();
        assert_eq!(scores.signature, "NER|conv:seqeval-strict:bilou|occ:given|norm:none|unaligned:none|v1");
    }
}
