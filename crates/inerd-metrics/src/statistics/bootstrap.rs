use rand::Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::replicates::{Group, Table, add, contrast, single};
use super::{Replicate, Statistic, below, moments, quantile, stream};
use crate::{MetricsError, Result};

/// What is drawn again, and so what the statement is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// These trained models, other sentences.
    Sentences,
    /// Other training runs and other sentences: the method.
    #[default]
    SeedsAndSentences,
}

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    pub resamples: usize,
    /// Coverage of intervals, such as 0.95.
    pub level: f64,
    pub seed: u64,
    pub over: Over,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { resamples: 10_000, level: 0.95, seed: 0, over: Over::default() }
    }
}

/// A figure with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over units, as a fraction.
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub standard_error: f64,
    /// Independent units.
    pub n: usize,
    pub sentences: usize,
    /// What was drawn again; sentences only where a single unit leaves nothing else.
    pub over: Over,
}

/// A difference (arm minus baseline) with its interval and p-value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// As a fraction.
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub standard_error: f64,
    /// Two-sided.
    pub p_value: f64,
    /// Independent units of the smaller arm; pairs where `paired`.
    pub n: usize,
    /// Both arms have the same units, which were drawn together.
    pub paired: bool,
    pub sentences: usize,
    pub over: Over,
}

/// The figure of one arm. Over seeds and sentences this is the hierarchical bootstrap for crossed levels: every unit was
/// tested on the same sentences.
pub fn bootstrap(arm: &[Replicate<'_>], statistic: Statistic, resampling: &Resampling) -> Result<Estimate> {
    let table = Table::new(arm, statistic)?;
    let groups = single(arm);
    let Drawn { value, low, high, standard_error, over, .. } = draw(&table, &groups, resampling)?;
    let (low, high) = (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0));
    Ok(Estimate { value, low, high, standard_error, n: groups[0].units.len(), sentences: table.sentences, over })
}

/// The difference of two arms on the same sentences; each resample uses the same sentences for both. Units are paired
/// where both arms have the same ones.
pub fn paired_bootstrap(
    baseline: &[Replicate<'_>],
    arm: &[Replicate<'_>],
    statistic: Statistic,
    resampling: &Resampling,
) -> Result<Difference> {
    if baseline.is_empty() || arm.is_empty() {
        return Err(MetricsError::NoReplicates);
    }
    let table = Table::new(&[baseline, arm].concat(), statistic)?;
    let groups = contrast(baseline, arm);
    let Drawn { value, low, high, standard_error, p_value, over } = draw(&table, &groups, resampling)?;
    Ok(Difference {
        value,
        low,
        high,
        standard_error,
        p_value,
        n: groups.iter().map(|g| g.units.len()).min().unwrap_or(0),
        paired: groups.len() == 1,
        sentences: table.sentences,
        over,
    })
}

struct Drawn {
    value: f64,
    low: f64,
    high: f64,
    standard_error: f64,
    p_value: f64,
    over: Over,
}

/// Draws sentences again, and accounts for other units where asked.
///
/// Over sentences: percentile interval, and the p-value is the share of resampled differences that lie at least as far
/// from the observed one as that lies from 0.
///
/// Over both: a handful of units is too few for percentiles, so the bootstrap supplies a standard error and Student's t
/// the rest. What drawing units adds has a closed form, the variance of a mean. Units and sentences are crossed: all
/// units were tested on the same sentences, and what is particular to a unit *and* a sentence shows up in both
/// variances. It is estimated from how much more single units vary over sentences than their mean does, and counted
/// once (as in Owen 2007, "The pigeonhole bootstrap"). Degrees of freedom after Satterthwaite (1946).
fn draw(table: &Table, groups: &[Group], resampling: &Resampling) -> Result<Drawn> {
    let Resampling { resamples, level, seed, over } = *resampling;
    if resamples == 0 || !(level > 0.0 && level < 1.0) {
        return Err(MetricsError::Resampling { resamples, level });
    }
    let enough_units = groups.iter().all(|g| g.units.len() > 1);
    let over = if enough_units { over } else { Over::Sentences };

    let mut figures = Figures::new(table, groups);
    let value = figures.of(&table.totals());
    let mut spreads: Vec<Spread> = figures.by_unit.iter().map(|values| Spread::around(values)).collect();

    let mut random = stream("bootstrap/sentences", seed);
    let mut resampled = Vec::with_capacity(resamples);
    let mut sums = vec![0; table.width];
    for _ in 0..resamples {
        sums.fill(0);
        for _ in 0..table.sentences {
            add(&mut sums, table.row(below(random.next_u32(), table.sentences)));
        }
        resampled.push(figures.of(&sums));
        for (spread, values) in spreads.iter_mut().zip(&figures.by_unit) {
            spread.add(values);
        }
    }

    let tail = (1.0 - level) / 2.0;
    let of_sentences = moments(&resampled).1;
    if over == Over::Sentences {
        let extreme = resampled.iter().filter(|d| (*d - value).abs() >= value.abs()).count();
        resampled.sort_by(f64::total_cmp);
        return Ok(Drawn {
            value,
            low: quantile(&resampled, tail),
            high: quantile(&resampled, 1.0 - tail),
            standard_error: of_sentences.sqrt(),
            p_value: (extreme + 1) as f64 / (resamples + 1) as f64,
            over,
        });
    }

    let counted_twice: f64 = spreads.iter().map(Spread::interaction).sum();
    let of_sentences = (of_sentences - counted_twice).max(0.0);
    let variance = of_sentences + spreads.iter().map(Spread::of_units).sum::<f64>();
    let standard_error = variance.sqrt();
    let (half_width, p_value) = if variance == 0.0 {
        (0.0, if value == 0.0 { 1.0 } else { 0.0 })
    } else {
        let per_freedom = |spread: &Spread| spread.of_units().powi(2) / (spread.observed.len() - 1) as f64;
        let denominator = of_sentences * of_sentences / (table.sentences.max(2) - 1) as f64
            + spreads.iter().map(per_freedom).sum::<f64>();
        let t = student((variance * variance / denominator).clamp(1.0, 1e9));
        (standard_error * t.inverse_cdf(1.0 - tail), (2.0 * t.cdf(-value.abs() / standard_error)).min(1.0))
    };
    Ok(Drawn { value, low: value - half_width, high: value + half_width, standard_error, p_value, over })
}

/// How the units of a group, and their mean, spread over resampled sentences.
struct Spread {
    /// The units' figures on the real sentences.
    observed: Vec<f64>,
    /// Sums over resamples of the mean's deviation from its observed value, of its square, and of the units' squares
    /// and deviations.
    mean: (f64, f64),
    units: Vec<(f64, f64)>,
    resamples: f64,
}

impl Spread {
    fn around(observed: &[f64]) -> Self {
        Self { observed: observed.to_vec(), mean: (0.0, 0.0), units: vec![(0.0, 0.0); observed.len()], resamples: 0.0 }
    }

    fn add(&mut self, values: &[f64]) {
        let mut of_mean = 0.0;
        for ((sums, value), observed) in self.units.iter_mut().zip(values).zip(&self.observed) {
            let deviation = value - observed;
            sums.0 += deviation;
            sums.1 += deviation * deviation;
            of_mean += deviation;
        }
        of_mean /= values.len() as f64;
        self.mean.0 += of_mean;
        self.mean.1 += of_mean * of_mean;
        self.resamples += 1.0;
    }

    fn variance(&self, (sum, squares): (f64, f64)) -> f64 {
        (squares - sum * sum / self.resamples) / (self.resamples - 1.0).max(1.0)
    }

    /// Variance of the mean over units, from the units alone.
    fn of_units(&self) -> f64 {
        moments(&self.observed).1 / self.observed.len() as f64
    }

    /// Variance of the mean that is particular to unit and sentence. With a common part c and a particular part i, a
    /// unit varies by c + i over sentences and the mean of n units by c + i/n.
    fn interaction(&self) -> f64 {
        let n = self.units.len() as f64;
        let of_one = self.units.iter().map(|&sums| self.variance(sums)).sum::<f64>() / n;
        (of_one - self.variance(self.mean)) / (n - 1.0)
    }
}

/// Student's t distribution; `freedom` is positive.
pub(crate) fn student(freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, freedom).unwrap_or_else(|_| unreachable!("{freedom} degrees of freedom"))
}

/// The figure of a resample, and of each unit on the way.
struct Figures<'a> {
    table: &'a Table,
    groups: &'a [Group],
    ratios: Vec<f64>,
    /// `[group][unit]`.
    by_unit: Vec<Vec<f64>>,
}

impl<'a> Figures<'a> {
    fn new(table: &'a Table, groups: &'a [Group]) -> Self {
        let by_unit = groups.iter().map(|g| vec![0.0; g.units.len()]).collect();
        Self { table, groups, ratios: vec![0.0; table.lanes], by_unit }
    }

    fn of(&mut self, sums: &[u32]) -> f64 {
        for (lane, ratio) in self.ratios.iter_mut().enumerate() {
            *ratio = self.table.ratio(sums, lane);
        }
        let mut figure = 0.0;
        for (group, values) in self.groups.iter().zip(&mut self.by_unit) {
            for (unit, value) in group.units.iter().zip(values.iter_mut()) {
                *value = unit.iter().map(|&(lane, weight)| weight * self.ratios[lane]).sum();
            }
            figure += values.iter().sum::<f64>() / values.len() as f64;
        }
        figure
    }
}
