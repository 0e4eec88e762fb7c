use inerd_text::{Generation, Schema as Types, Sentence, Span};

use crate::Convention;
use crate::counts::Matches;
use crate::tally::Tally;

/// What has to agree for an entity to be correct (SemEval-2013 task 9.1; nervaluate 1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    Strict,
    Exact,
    Partial,
    Type,
}

/// An entity with inclusive first and last position (tokens or characters), nervaluate's own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Located<'a> {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) kind: &'a str,
}

impl Located<'_> {
    /// Whether this prediction covers at least one percent of `gold`, nervaluate's default threshold.
    fn covers(self, gold: Self) -> bool {
        if self.first > gold.last || self.last < gold.first {
            return false;
        }
        let shared = self.last.min(gold.last) - self.first.max(gold.first) + 1;
        let length = gold.last - gold.first + 1;
        (shared as f64 / length as f64) * 100.0 >= 1.0
    }

    fn boundary_distance(self, gold: Self) -> usize {
        self.first.abs_diff(gold.first) + self.last.abs_diff(gold.last)
    }
}

impl Schema {
    /// Strict for a convention that is not nervaluate's.
    pub(crate) fn of(convention: Convention) -> Self {
        match convention {
            Convention::NervaluateExact => Self::Exact,
            Convention::NervaluatePartial => Self::Partial,
            Convention::NervaluateType => Self::Type,
            _ => Self::Strict,
        }
    }

    fn is_correct(self, predicted: Located<'_>, gold: Located<'_>) -> bool {
        let same_place = (predicted.first, predicted.last) == (gold.first, gold.last);
        match self {
            Self::Strict => same_place && predicted.kind == gold.kind,
            Self::Exact | Self::Partial => same_place,
            Self::Type => predicted.kind == gold.kind && predicted.covers(gold),
        }
    }
}

/// Judges one sentence. Predictions are taken in the order given, each by the first free gold entity that makes it
/// correct (under `Type` the one with the nearest boundaries), else by the first free one that it overlaps.
pub(crate) fn judge(schema: Schema, gold: &[Located<'_>], predicted: &[Located<'_>]) -> Matches {
    let mut taken = vec![false; gold.len()];
    let mut matches = Matches::default();
    for &p in predicted {
        let free = || gold.iter().enumerate().filter(|(i, _)| !taken[*i]);
        let mut correct = free().filter(|(_, g)| schema.is_correct(p, **g));
        let correct = match schema {
            // `min_by_key` keeps the first of equals.
            Schema::Type => correct.min_by_key(|(_, g)| p.boundary_distance(**g)),
            _ => correct.next(),
        };
        let (counted, index) = if let Some((index, _)) = correct {
            (&mut matches.correct, index)
        } else if let Some((index, _)) = free().find(|(_, g)| p.covers(**g)) {
            (if schema == Schema::Partial { &mut matches.partial } else { &mut matches.incorrect }, index)
        } else {
            matches.spurious += 1;
            continue;
        };
        *counted += 1;
        taken[index] = true;
    }
    matches.missed = taken.iter().filter(|t| !**t).count() as u64;
    matches
}

/// Judges one sentence on character positions; entities of unknown types are left out, a prediction without a place
/// in the text is spurious.
pub(crate) fn nervaluate<'a>(
    convention: Convention,
    sentence: &'a Sentence,
    generation: &'a Generation,
    types: &Types,
    tally: &mut Tally<'a>,
) {
    let schema = Schema::of(convention);
    let located = |kind: &'a str, span: Span| {
        let chars = |bytes: usize| sentence.text.get(..bytes).map(|t| t.chars().count());
        let (first, end) = (chars(span.start)?, chars(span.end)?);
        (first < end).then(|| Located { first, last: end - 1, kind })
    };
    let mut gold: Vec<Located<'a>> = (sentence.entities.iter())
        .filter(|e| types.contains(&e.kind))
        .filter_map(|e| located(&e.kind, e.span))
        .collect();
    let known = || generation.predictions.iter().filter(|p| types.contains(&p.kind));
    let mut predicted: Vec<Located<'a>> = known().filter_map(|p| located(&p.kind, p.span?)).collect();
    gold.sort();
    predicted.sort();
    let placeless = |kind: Option<&str>| {
        let without = known().filter(|p| p.span.and_then(|s| located(&p.kind, s)).is_none());
        without.filter(|p| kind.is_none_or(|k| p.kind == k)).count() as u64
    };

    let mut all = judge(schema, &gold, &predicted);
    all.spurious += placeless(None);
    tally.matches(all);

    let mut kinds: Vec<&'a str> = gold.iter().map(|e| e.kind).chain(known().map(|p| p.kind.as_str())).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let of_kind =
            |entities: &[Located<'a>]| -> Vec<_> { entities.iter().copied().filter(|e| e.kind == kind).collect() };
        let mut matches = judge(schema, &of_kind(&gold), &of_kind(&predicted));
        matches.spurious += placeless(Some(kind));
        tally.matches_of_type(kind, matches);
    }
}
