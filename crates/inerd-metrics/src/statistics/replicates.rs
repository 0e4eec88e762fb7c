use serde::{Deserialize, Serialize};

use crate::counts::SentenceCounts;
use crate::{MetricsError, Result};

/// One trained model's counts on the test sentences.
#[derive(Debug, Clone, Copy)]
pub struct Replicate<'a> {
    pub counts: &'a SentenceCounts,
    /// Name of the independent unit: the seed, or the shared prefix (a common coarse-tuned model). Replicates of one
    /// unit are not independent and always stay together.
    pub unit: &'a str,
}

/// A figure that is a ratio of sums over sentences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    Precision,
    Recall,
    /// 2 tp / (2 tp + fp + fn).
    #[default]
    F1,
}

impl Statistic {
    /// Numerator and denominator for one sentence.
    fn terms(self, tp: u32, fp: u32, fn_: u32) -> (u32, u32) {
        match self {
            Self::Precision => (tp, tp + fp),
            Self::Recall => (tp, tp + fn_),
            Self::F1 => (2 * tp, 2 * tp + fp + fn_),
        }
    }
}

/// The terms of all replicates in rows, one row per sentence: numerators, then denominators, of every lane. Drawing a
/// sentence adds one short contiguous row, which is what makes resampling fast.
#[derive(Debug)]
pub(crate) struct Table {
    /// `[sentence, width]`: 2 × lanes, and zeros up to `width`.
    rows: Vec<u32>,
    pub(crate) width: usize,
    pub(crate) lanes: usize,
    pub(crate) sentences: usize,
}

impl Table {
    /// One lane per replicate, in order.
    pub(crate) fn new(replicates: &[Replicate<'_>], statistic: Statistic) -> Result<Self> {
        let lanes = replicates.len();
        let sentences = replicates.first().ok_or(MetricsError::NoReplicates)?.counts.len();
        let width = (2 * lanes).next_multiple_of(VECTOR);
        let mut rows = vec![0; sentences * width];
        for (lane, replicate) in replicates.iter().enumerate() {
            let SentenceCounts { tp, fp, fn_ } = replicate.counts;
            for column in [tp, fp, fn_] {
                if column.len() != sentences {
                    return Err(MetricsError::DifferentLengths { gold: sentences, predicted: column.len() });
                }
            }
            let counts = tp.iter().zip(fp).zip(fn_);
            for (row, ((&tp, &fp), &fn_)) in rows.chunks_exact_mut(width).zip(counts) {
                (row[lane], row[lanes + lane]) = statistic.terms(tp, fp, fn_);
            }
        }
        Ok(Self { rows, width, lanes, sentences })
    }

    pub(crate) fn row(&self, sentence: usize) -> &[u32] {
        &self.rows[sentence * self.width..][..self.width]
    }

    /// The sums over all sentences.
    pub(crate) fn totals(&self) -> Vec<u32> {
        let mut sums = vec![0; self.width];
        for sentence in 0..self.sentences {
            add(&mut sums, self.row(sentence));
        }
        sums
    }

    /// The ratio of one lane; 0 where its denominator is 0.
    pub(crate) fn ratio(&self, sums: &[u32], lane: usize) -> f64 {
        crate::counts::ratio(f64::from(sums[lane]), f64::from(sums[self.lanes + lane]))
    }
}

/// Numbers that are added at once: two vectors of the smallest x86-64, one of AVX2.
const VECTOR: usize = 8;

/// Adds a row; both sides are a table's width long.
pub(crate) fn add(sums: &mut [u32], row: &[u32]) {
    for (sums, terms) in sums.as_chunks_mut::<VECTOR>().0.iter_mut().zip(row.as_chunks::<VECTOR>().0) {
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum += term;
        }
    }
}

/// Independent units, each a weighted sum of lanes. The figure is the sum over groups of the mean over their units.
#[derive(Debug)]
pub(crate) struct Group {
    /// `[unit][(lane, weight)]`.
    pub(crate) units: Vec<Vec<(usize, f64)>>,
}

/// The lanes of each unit of one arm, in the order in which units first occur.
fn units<'a>(arm: &[Replicate<'a>], first_lane: usize) -> Vec<(&'a str, Vec<usize>)> {
    let mut units: Vec<(&str, Vec<usize>)> = Vec::new();
    for (lane, replicate) in (first_lane..).zip(arm) {
        match units.iter_mut().find(|(name, _)| *name == replicate.unit) {
            Some((_, lanes)) => lanes.push(lane),
            None => units.push((replicate.unit, vec![lane])),
        }
    }
    units
}

/// The mean over `lanes`, times `sign`.
fn mean_of(lanes: &[usize], sign: f64) -> impl Iterator<Item = (usize, f64)> + '_ {
    lanes.iter().map(move |&lane| (lane, sign / lanes.len() as f64))
}

/// One arm on its own.
pub(crate) fn single(arm: &[Replicate<'_>]) -> Vec<Group> {
    vec![Group { units: units(arm, 0).iter().map(|(_, lanes)| mean_of(lanes, 1.0).collect()).collect() }]
}

/// Arm minus baseline; the baseline's lanes come first. Paired, as one group of differences, where both have the same
/// units; otherwise two independent groups.
pub(crate) fn contrast(baseline: &[Replicate<'_>], arm: &[Replicate<'_>]) -> Vec<Group> {
    let (old, new) = (units(baseline, 0), units(arm, baseline.len()));
    let counterpart = |name| old.iter().find(|(n, _)| *n == name).map(|(_, lanes)| lanes);
    let pairs: Option<Vec<_>> = (new.iter())
        .map(|(name, lanes)| Some(mean_of(lanes, 1.0).chain(mean_of(counterpart(*name)?, -1.0)).collect()))
        .collect();
    match pairs {
        Some(units) if old.len() == new.len() => vec![Group { units }],
        _ => {
            let group = |units: &[(&str, Vec<usize>)], sign| Group {
                units: units.iter().map(|(_, lanes)| mean_of(lanes, sign).collect()).collect(),
            };
            vec![group(&new, 1.0), group(&old, -1.0)]
        }
    }
}
