use std::collections::HashMap;

use crate::Convention;
use crate::counts::{Counts, Matches, Score, Scores, SentenceCounts};

/// Adds up counts over all sentences, over each sentence and over each type.
#[derive(Debug, Default)]
pub(crate) struct Tally<'a> {
    slots: HashMap<&'a str, usize>,
    types: Vec<(&'a str, Score)>,
    /// The slot of the latest type: neighbours often share it, and it saves hashing.
    latest: usize,
    sentence: Counts,
    sentences: SentenceCounts,
    /// Only nervaluate's schemata have these.
    matches: Option<Matches>,
}

impl<'a> Tally<'a> {
    pub(crate) fn with_capacity(sentences: usize) -> Self {
        Self { sentences: SentenceCounts::with_capacity(sentences), ..Self::default() }
    }

    fn of_type(&mut self, kind: &'a str) -> &mut Score {
        if self.types.get(self.latest).is_none_or(|(name, _)| *name != kind) {
            let types = &mut self.types;
            self.latest = *self.slots.entry(kind).or_insert_with(|| {
                types.push((kind, Score::default()));
                types.len() - 1
            });
        }
        &mut self.types[self.latest].1
    }

    pub(crate) fn tp(&mut self, kind: &'a str) {
        self.of_type(kind).counts.tp += 1;
        self.sentence.tp += 1;
    }

    pub(crate) fn fp(&mut self, kind: &'a str) {
        self.of_type(kind).counts.fp += 1;
        self.sentence.fp += 1;
    }

    pub(crate) fn fn_(&mut self, kind: &'a str) {
        self.of_type(kind).counts.fn_ += 1;
        self.sentence.fn_ += 1;
    }

    /// An entity that was counted on both sides before turns out to be the same one.
    pub(crate) fn found_correct(&mut self, kind: &'a str) {
        let same = |counts: &mut Counts| {
            counts.tp += 1;
            counts.fp = counts.fp.saturating_sub(1);
            counts.fn_ = counts.fn_.saturating_sub(1);
        };
        same(&mut self.of_type(kind).counts);
        same(&mut self.sentence);
    }

    /// nervaluate's judgement of one sentence, all types together.
    pub(crate) fn matches(&mut self, matches: Matches) {
        *self.matches.get_or_insert_default() += matches;
        self.sentence = matches.halves();
    }

    /// nervaluate's judgement of one type on its own; not a part of the judgement of all types together.
    pub(crate) fn matches_of_type(&mut self, kind: &'a str, matches: Matches) {
        *self.of_type(kind).matches.get_or_insert_default() += matches;
    }

    pub(crate) fn end_sentence(&mut self) {
        self.sentences.push(std::mem::take(&mut self.sentence));
    }

    pub(crate) fn finish(self, convention: Convention) -> (Scores, SentenceCounts) {
        let complete = |score: Score| score.matches.map_or_else(|| score.counts.into(), Score::from);
        let micro = self.matches.map_or_else(|| self.sentences.total().into(), Score::from);
        let per_type = self.types.into_iter().map(|(kind, score)| (kind.to_owned(), complete(score))).collect();
        (Scores::new(convention, micro, per_type), self.sentences)
    }
}
