use std::collections::BTreeMap;
use std::fmt;

use inerd_text::{Generation, Prediction, Schema, Sentence, Span};
use serde::{Deserialize, Serialize};

use crate::interval::Rate;
use crate::{Result, score};

/// A way in which an answer can say what the task makes impossible. A prediction may be in several classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HallucinationClass {
    /// A piece of the output does not follow the format. Per output.
    Unparsable,
    /// The length limit cut the output off. Per output.
    Truncated,
    /// The type is not in the schema. Per predicted entity, as all that follow.
    OutOfSchema,
    /// The content is not in the text, character by character.
    OutOfText,
    /// The content is in the text, but begins or ends inside a word wherever it could stand.
    SubWord,
    /// The text holds the content, but not as often as it was predicted.
    OverCount,
    /// The same type and content as an earlier prediction, without a place of its own.
    Duplicate,
}

impl HallucinationClass {
    /// In the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Unparsable,
        Self::Truncated,
        Self::OutOfSchema,
        Self::OutOfText,
        Self::SubWord,
        Self::OverCount,
        Self::Duplicate,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Unparsable => "unparsable",
            Self::Truncated => "truncated",
            Self::OutOfSchema => "out-of-schema",
            Self::OutOfText => "out-of-text",
            Self::SubWord => "sub-word",
            Self::OverCount => "over-count",
            Self::Duplicate => "duplicate",
        }
    }

    /// Whether the denominator is the number of outputs; otherwise it is the number of predicted entities.
    pub fn is_per_output(self) -> bool {
        matches!(self, Self::Unparsable | Self::Truncated)
    }
}

impl fmt::Display for HallucinationClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each class occurred, with exact intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hallucinations {
    /// Every class is present, also where it never occurred.
    pub classes: BTreeMap<HallucinationClass, Rate>,
    /// Predicted entities in at least one class.
    pub any: Rate,
    /// Number of outputs (sentences).
    pub outputs: u64,
    /// Number of predicted entities.
    pub entities: u64,
}

/// Counts the classes over all answers.
///
/// # Errors
/// Where gold and predictions do not hold the same sentences in the same order.
pub fn hallucinations(gold: &[Sentence], predicted: &[Generation], schema: &Schema) -> Result<Hallucinations> {
    let mut counts: BTreeMap<HallucinationClass, u64> = HallucinationClass::ALL.map(|class| (class, 0)).into();
    let (mut outputs, mut entities, mut any) = (0, 0, 0);
    for pair in score::pair(gold, predicted)? {
        let (sentence, generation) = pair?;
        outputs += 1;
        let of_output = [
            (HallucinationClass::Unparsable, !generation.unparsable.is_empty()),
            (HallucinationClass::Truncated, generation.truncated),
        ];
        for (class, _) in of_output.into_iter().filter(|(_, holds)| *holds) {
            *counts.entry(class).or_default() += 1;
        }
        for classes in classify(sentence, &generation.predictions, schema) {
            entities += 1;
            any += u64::from(!classes.is_empty());
            for class in classes {
                *counts.entry(class).or_default() += 1;
            }
        }
    }
    let rate = |(class, count): (HallucinationClass, u64)| {
        (class, Rate::new(count, if class.is_per_output() { outputs } else { entities }))
    };
    Ok(Hallucinations {
        classes: counts.into_iter().map(rate).collect(),
        any: Rate::new(any, entities),
        outputs,
        entities,
    })
}

/// The classes of every prediction of one answer, in order; empty where it is possible.
pub fn classify<'a>(
    sentence: &'a Sentence,
    predictions: &'a [Prediction],
    schema: &'a Schema,
) -> impl Iterator<Item = Vec<HallucinationClass>> + 'a {
    predictions.iter().enumerate().map(move |(index, prediction)| {
        let mut classes = Vec::new();
        if !schema.contains(&prediction.kind) {
            classes.push(HallucinationClass::OutOfSchema);
        }
        let places: Vec<Span> = occurrences(&sentence.text, &prediction.surface).collect();
        if places.is_empty() {
            classes.push(HallucinationClass::OutOfText);
            return classes;
        }
        let cut = match prediction.span {
            Some(span) => cuts_word(sentence, span),
            None => places.iter().all(|&place| cuts_word(sentence, place)),
        };
        if cut {
            classes.push(HallucinationClass::SubWord);
        }
        let same = |p: &&Prediction| p.kind == prediction.kind && p.surface == prediction.surface;
        let earlier = &predictions[..index];
        let written = earlier.iter().filter(same).count() + 1;
        if written > places.len() || (prediction.span.is_none() && !cut) {
            classes.push(HallucinationClass::OverCount);
        }
        if earlier.iter().filter(same).any(|p| prediction.span.is_none() || p.span == prediction.span) {
            classes.push(HallucinationClass::Duplicate);
        }
        classes
    })
}

/// Every place where `surface` stands in `text`, overlapping ones included ("aa" stands twice in "aaa"). None for an
/// empty surface.
pub(crate) fn occurrences<'a>(text: &'a str, surface: &'a str) -> impl Iterator<Item = Span> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let step = surface.chars().next()?.len_utf8();
        let start = from + text.get(from..)?.find(surface)?;
        from = start + step;
        Some(Span::new(start, start + surface.len()))
    })
}

/// Whether a span begins or ends between two letters or digits. A boundary of one of the corpus's own tokens is never
/// inside a word, and neither is one beside a character of a script that writes no spaces.
///
/// Every boundary that the decoding rule `word-boundary` allows is none inside a word here.
pub(crate) fn cuts_word(sentence: &Sentence, span: Span) -> bool {
    let between = |at: usize| {
        let Some((before, after)) = sentence.text.split_at_checked(at) else { return true };
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !writes_no_spaces(c));
        letter(before.chars().next_back()) && letter(after.chars().next())
    };
    (between(span.start) && !sentence.tokens.iter().any(|t| t.start == span.start))
        || (between(span.end) && !sentence.tokens.iter().any(|t| t.end == span.end))
}

/// Han, kana, Thai, Lao, Tibetan, Myanmar, Khmer.
fn writes_no_spaces(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x109F | 0x1780..=0x17FF | 0x2E80..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xA000..=0xA4CF
        | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x2_0000..=0x3_FFFF)
}

#[cfg(test)]
mod tests {
    use HallucinationClass::*;

    use super::*;
    use crate::testing::{answer, japan, sentence};

    fn classes(gold: &Sentence, predictions: &[(&str, &str, Option<usize>)]) -> Vec<Vec<HallucinationClass>> {
        classify(gold, &answer(gold, predictions).predictions, &Schema::new(["LOC", "PER"])).collect()
    }

    #[test]
    fn every_class_is_found() {
        let gold = sentence("s", "Ann runs a business in Oslo and Oslo .", &[]);
        let found = classes(
            &gold,
            &[
                ("PER", "Ann", Some(0)),
                ("Boss", "Ann", Some(0)),
                ("LOC", "Bergen", None),
                ("LOC", "bus", Some(11)),
                ("LOC", "us", None),
                ("LOC", "Oslo", Some(23)),
                ("LOC", "Oslo", Some(32)),
                ("LOC", "Oslo", None),
                ("LOC", "Oslo", Some(23)),
                ("PER", "Oslo", None),
                ("LOC", "", None),
            ],
        );
        assert_eq!(
            found,
            [
                vec![],
                vec![OutOfSchema],
                vec![OutOfText],
                vec![SubWord],
                vec![SubWord],
                vec![],
                vec![],
                vec![OverCount, Duplicate],
                vec![OverCount, Duplicate],
                vec![OverCount],
                vec![OutOfText],
            ]
        );
    }

    #[test]
    fn a_token_boundary_is_no_cut_and_neither_is_any_where_no_spaces_are_written() {
        let mut gold = sentence("s", "cannot 東京都に住む", &[]);
        assert_eq!(classes(&gold, &[("LOC", "can", Some(0))]), [vec![SubWord]]);
        assert_eq!(classes(&gold, &[("LOC", "東京", Some(7))]), [vec![]]);
        gold.tokens = vec![Span::new(0, 3), Span::new(3, 6)];
        assert_eq!(classes(&gold, &[("LOC", "can", Some(0))]), [vec![]]);
        assert_eq!(classes(&gold, &[("LOC", "ann", Some(1))]), [vec![SubWord]]);
    }

    #[test]
    fn gold_itself_is_never_a_hallucination() {
        let (gold, _) = japan();
        let own = answer(&gold, &[("LOC", "Japan", Some(0)), ("LOC", "Syria", Some(11)), ("LOC", "Japan", Some(19))]);
        let found = hallucinations(&[gold], &[own], &Schema::new(["LOC"])).unwrap();
        assert_eq!(found.any.count, 0);
        assert!(found.any.high > 0.0, "a zero rate has an upper bound above zero");
    }

    #[test]
    fn rates_have_their_own_denominators() {
        let (gold, mut predicted) = japan();
        predicted.truncated = true;
        let found = hallucinations(&[gold], &[predicted], &Schema::new(["LOC"])).unwrap();
        assert_eq!(found.classes.len(), HallucinationClass::ALL.len());
        let fraction = |class| (found.classes[&class].count, found.classes[&class].of);
        assert_eq!(fraction(Truncated), (1, 1));
        assert_eq!(fraction(Unparsable), (0, 1));
        assert_eq!(fraction(OutOfText), (1, 3));
        assert_eq!(fraction(OutOfSchema), (0, 3));
    }
}
