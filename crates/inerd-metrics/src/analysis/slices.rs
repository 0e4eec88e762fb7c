use std::collections::{BTreeMap, BTreeSet};

use inerd_text::{Generation, Sentence, Span};
use serde::{Deserialize, Serialize};

use super::pairing::Pairing;
use crate::counts::{Counts, Score};

/// The score of a part of the entities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    pub label: String,
    pub score: Score,
}

/// What the training data say about types and surfaces.
#[derive(Debug, Clone, Default)]
pub struct Training {
    types: BTreeMap<String, u64>,
    surfaces: BTreeMap<String, BTreeSet<String>>,
}

impl Training {
    pub fn new(sentences: &[Sentence]) -> Self {
        let mut training = Self::default();
        for sentence in sentences {
            for entity in &sentence.entities {
                *training.types.entry(entity.kind.clone()).or_default() += 1;
                if let Some(surface) = entity.span.of(&sentence.text) {
                    training.surfaces.entry(surface.to_owned()).or_default().insert(entity.kind.clone());
                }
            }
        }
        training
    }
}

/// Labels of a slicing in their order, and the counts of each.
type Column = Vec<(&'static str, Counts)>;

/// All slicings while they are counted.
pub(crate) struct Slices<'a> {
    training: Option<&'a Training>,
    frequencies: BTreeMap<&'a str, u64>,
    length: Column,
    type_frequency: Column,
    density: Column,
    position: Column,
    seen: Column,
    ambiguity: Column,
}

/// All slicings when they are done, without the empty slices.
pub(crate) struct Finished {
    pub(crate) length: Vec<Slice>,
    pub(crate) type_frequency: Vec<Slice>,
    pub(crate) density: Vec<Slice>,
    pub(crate) position: Vec<Slice>,
    pub(crate) seen: Vec<Slice>,
    pub(crate) ambiguity: Vec<Slice>,
}

/// What happened to an entity.
#[derive(Clone, Copy)]
enum Verdict {
    TruePositive,
    FalsePositive,
    FalseNegative,
}

const LENGTHS: [&str; 5] = ["1", "2", "3", "4", "5 and more"];
const FREQUENCIES: [&str; 5] = ["0", "1 to 9", "10 to 99", "100 to 999", "1000 and more"];
const DENSITIES: [&str; 5] = ["0", "below 0.1", "0.1 to 0.2", "0.2 to 0.3", "0.3 and more"];
const POSITIONS: [&str; 4] = ["first third", "second third", "last third", "nowhere"];
const SEEN: [&str; 2] = ["seen", "unseen"];
const AMBIGUITIES: [&str; 3] = ["one type", "several types", "unseen"];

impl<'a> Slices<'a> {
    pub(crate) fn new(gold: &'a [Sentence], training: Option<&'a Training>) -> Self {
        let column = |labels: &[&'static str]| labels.iter().map(|&label| (label, Counts::default())).collect();
        let mut frequencies = BTreeMap::new();
        if let Some(training) = training {
            frequencies.extend(training.types.iter().map(|(kind, n)| (kind.as_str(), *n)));
        } else {
            for entity in gold.iter().flat_map(|s| &s.entities) {
                *frequencies.entry(entity.kind.as_str()).or_default() += 1;
            }
        }
        Self {
            training,
            frequencies,
            length: column(&LENGTHS),
            type_frequency: column(&FREQUENCIES),
            density: column(&DENSITIES),
            position: column(&POSITIONS),
            seen: column(&SEEN),
            ambiguity: column(&AMBIGUITIES),
        }
    }

    pub(crate) fn add(&mut self, sentence: &Sentence, generation: &Generation, pairing: &Pairing) {
        let tokens = if sentence.tokens.is_empty() { words(&sentence.text) } else { sentence.tokens.len() };
        let density = sentence.entities.len() as f64 / tokens.max(1) as f64;
        let density = if density == 0.0 { 0 } else { 1 + ((density * 10.0) as usize).min(3) };
        let mut found = vec![false; sentence.entities.len()];
        for (prediction, judged) in generation.predictions.iter().zip(&pairing.of_predictions) {
            let verdict = if let Some(gold) = judged.gold.filter(|_| judged.is_correct()) {
                found[gold] = true;
                Verdict::TruePositive
            } else {
                Verdict::FalsePositive
            };
            self.count(sentence, &prediction.kind, &prediction.surface, prediction.span, density, verdict);
        }
        for (entity, _) in sentence.entities.iter().zip(found).filter(|(_, found)| !found) {
            let surface = entity.span.of(&sentence.text).unwrap_or_default();
            self.count(sentence, &entity.kind, surface, Some(entity.span), density, Verdict::FalseNegative);
        }
    }

    fn count(
        &mut self,
        sentence: &Sentence,
        kind: &str,
        surface: &str,
        span: Option<Span>,
        density: usize,
        verdict: Verdict,
    ) {
        let add = |column: &mut Column, index: usize| {
            let counts = &mut column[index].1;
            match verdict {
                Verdict::TruePositive => counts.tp += 1,
                Verdict::FalsePositive => counts.fp += 1,
                Verdict::FalseNegative => counts.fn_ += 1,
            }
        };
        let covered = span.map_or(0, |span| sentence.tokens.iter().filter(|t| t.overlaps(span)).count());
        let length = if covered > 0 { covered } else { words(surface) };
        add(&mut self.length, length.clamp(1, LENGTHS.len()) - 1);

        let frequency = self.frequencies.get(kind).copied().unwrap_or(0);
        let magnitude = frequency.checked_ilog10().map_or(0, |log| 1 + log as usize);
        add(&mut self.type_frequency, magnitude.min(FREQUENCIES.len() - 1));

        add(&mut self.density, density);

        let third = |span: Span| (span.start.saturating_mul(3) / sentence.text.len().max(1)).min(2);
        add(&mut self.position, span.map_or(3, third));

        if let Some(training) = self.training {
            let types = training.surfaces.get(surface).map_or(0, BTreeSet::len);
            add(&mut self.seen, usize::from(types == 0));
            add(&mut self.ambiguity, if types == 0 { 2 } else { usize::from(types > 1) });
        }
    }

    pub(crate) fn finish(self) -> Finished {
        let slices = |column: Column| -> Vec<Slice> {
            let filled = column.into_iter().filter(|(_, counts)| *counts != Counts::default());
            filled.map(|(label, counts)| Slice { label: label.to_owned(), score: counts.into() }).collect()
        };
        Finished {
            length: slices(self.length),
            type_frequency: slices(self.type_frequency),
            density: slices(self.density),
            position: slices(self.position),
            seen: slices(self.seen),
            ambiguity: slices(self.ambiguity),
        }
    }
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
