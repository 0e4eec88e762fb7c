use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::Convention;

/// True positives, false positives, false negatives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub tp: u64,
    pub fp: u64,
    #[serde(rename = "fn")]
    pub fn_: u64,
}

impl Counts {
    /// Number of predicted entities.
    pub fn predicted(self) -> u64 {
        self.tp + self.fp
    }

    /// Number of gold entities.
    pub fn support(self) -> u64 {
        self.tp + self.fn_
    }

    pub fn prf(self) -> Prf {
        Prf::new(self.tp as f64, self.predicted() as f64, self.support() as f64)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
    }
}

/// Precision, recall and F1 as fractions in 0..=1. Each is 0 where its denominator is 0, never NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Prf {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

impl Prf {
    /// From `correct` of `predicted` and of `gold` entities; `correct` may hold halves (partial credit).
    pub fn new(correct: f64, predicted: f64, gold: f64) -> Self {
        let precision = ratio(correct, predicted);
        let recall = ratio(correct, gold);
        // 2pr/(p+r), not 2tp/(2tp+fp+fn): the rounding of seqeval and nervaluate, to the last digit.
        Self { precision, recall, f1: ratio(2.0 * precision * recall, precision + recall) }
    }

    /// Weighted mean; zeros where the weights sum to 0.
    pub(crate) fn mean<'a>(weighted: impl Iterator<Item = (&'a Self, f64)>) -> Self {
        let mut total = 0.0;
        let mut sum = Self::default();
        for (prf, weight) in weighted {
            total += weight;
            sum.precision += prf.precision * weight;
            sum.recall += prf.recall * weight;
            sum.f1 += prf.f1 * weight;
        }
        Self { precision: ratio(sum.precision, total), recall: ratio(sum.recall, total), f1: ratio(sum.f1, total) }
    }
}

/// `numerator / denominator`, 0 where the denominator is 0.
pub(crate) fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

/// Counts and what follows from them, for all types together or for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub counts: Counts,
    pub prf: Prf,
    /// Number of gold entities under this convention (a set counts a repeated mention once).
    pub support: u64,
    /// Only under nervaluate's schemata. There, `counts.tp` is the number of entirely correct entities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<Matches>,
}

impl From<Counts> for Score {
    fn from(counts: Counts) -> Self {
        Self { counts, prf: counts.prf(), support: counts.support(), matches: None }
    }
}

impl From<Matches> for Score {
    fn from(matches: Matches) -> Self {
        let counts = matches.counts();
        Self { counts, prf: matches.prf(), support: counts.support(), matches: Some(matches) }
    }
}

/// The five outcomes of SemEval-2013 task 9.1, as nervaluate counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matches {
    pub correct: u64,
    /// Overlaps gold, but does not agree in what the schema asks for.
    pub incorrect: u64,
    /// Overlaps gold where the schema gives half the credit for that.
    pub partial: u64,
    /// Gold without a prediction.
    pub missed: u64,
    /// Prediction without gold.
    pub spurious: u64,
}

impl Matches {
    /// Number of predicted entities.
    pub fn actual(self) -> u64 {
        self.correct + self.incorrect + self.partial + self.spurious
    }

    /// Number of gold entities.
    pub fn possible(self) -> u64 {
        self.correct + self.incorrect + self.partial + self.missed
    }

    /// Only entirely correct entities are true positives.
    pub fn counts(self) -> Counts {
        Counts { tp: self.correct, fp: self.actual() - self.correct, fn_: self.possible() - self.correct }
    }

    /// A partial match has half the credit.
    pub fn prf(self) -> Prf {
        let credit = self.correct as f64 + 0.5 * self.partial as f64;
        Prf::new(credit, self.actual() as f64, self.possible() as f64)
    }

    /// Counts of half entities, so that half the credit is a whole number.
    pub(crate) fn halves(self) -> Counts {
        let tp = 2 * self.correct + self.partial;
        Counts { tp, fp: 2 * self.actual() - tp, fn_: 2 * self.possible() - tp }
    }
}

impl AddAssign for Matches {
    fn add_assign(&mut self, other: Self) {
        self.correct += other.correct;
        self.incorrect += other.incorrect;
        self.partial += other.partial;
        self.missed += other.missed;
        self.spurious += other.spurious;
    }
}

/// All figures of one convention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub convention: Convention,
    /// See [`crate::Signature`]; belongs under every table that shows one of these figures.
    pub signature: String,
    pub micro: Score,
    /// Unweighted mean over the types that occur in gold or in a prediction, as seqeval has it.
    #[serde(rename = "macro")]
    pub macro_: Prf,
    /// Mean weighted by support.
    pub weighted: Prf,
    /// By type, as gold or the prediction spells it.
    pub per_type: BTreeMap<String, Score>,
}

impl Scores {
    pub(crate) fn new(convention: Convention, micro: Score, per_type: BTreeMap<String, Score>) -> Self {
        let macro_ = Prf::mean(per_type.values().map(|s| (&s.prf, 1.0)));
        let weighted = Prf::mean(per_type.values().map(|s| (&s.prf, s.support as f64)));
        Self { convention, signature: convention.signature().to_string(), micro, macro_, weighted, per_type }
    }
}

/// The micro counts of every sentence, in order: what resampling needs. Under nervaluate's schemata they count *half*
/// entities, because a partial match has half the credit.
///
/// `precision = Σtp / Σ(tp + fp)`, `recall = Σtp / Σ(tp + fn)` over any multiset of sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentenceCounts {
    pub tp: Vec<u32>,
    pub fp: Vec<u32>,
    #[serde(rename = "fn")]
    pub fn_: Vec<u32>,
}

impl SentenceCounts {
    /// Number of sentences.
    pub fn len(&self) -> usize {
        self.tp.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tp.is_empty()
    }

    pub(crate) fn with_capacity(sentences: usize) -> Self {
        let column = || Vec::with_capacity(sentences);
        Self { tp: column(), fp: column(), fn_: column() }
    }

    pub(crate) fn push(&mut self, counts: Counts) {
        self.tp.push(counts.tp as u32);
        self.fp.push(counts.fp as u32);
        self.fn_.push(counts.fn_ as u32);
    }

    /// The counts of the whole corpus.
    pub fn total(&self) -> Counts {
        let sum = |column: &[u32]| column.iter().map(|&n| u64::from(n)).sum();
        Counts { tp: sum(&self.tp), fp: sum(&self.fp), fn_: sum(&self.fn_) }
    }
}
