use rand::Rng;
use serde::{Deserialize, Serialize};

use super::replicates::{Table, contrast};
use super::{Replicate, Resampling, Statistic, below, stream};
use crate::{MetricsError, Result};

/// What is exchanged between the two arms, and so what the null says is the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exchange {
    /// The arms' answers to a sentence (Noreen 1989; Yeh 2000): these trained models are equally good.
    #[default]
    Sentences,
    /// Whole training runs: the methods are equally good. Every assignment is tried where there are few.
    Units,
}

/// The result of approximate randomisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Randomisation {
    /// Arm minus baseline, as a fraction.
    pub value: f64,
    /// Two-sided.
    pub p_value: f64,
    /// No smaller p-value was possible: five seed pairs cannot reach 0.05.
    pub smallest: f64,
    pub exchange: Exchange,
}

/// How likely a difference as large as the observed one is where the arms' labels mean nothing.
///
/// Only `resamples` and `seed` of the settings are used. Exchanging sentences swaps all replicates of the arms together
/// and needs as many on both sides; they are matched in order.
pub fn approximate_randomisation(
    baseline: &[Replicate<'_>],
    arm: &[Replicate<'_>],
    statistic: Statistic,
    exchange: Exchange,
    resampling: &Resampling,
) -> Result<Randomisation> {
    if baseline.is_empty() || arm.is_empty() {
        return Err(MetricsError::NoReplicates);
    }
    let table = Table::new(&[baseline, arm].concat(), statistic)?;
    let (value, extreme, all) = match exchange {
        Exchange::Sentences if baseline.len() != arm.len() => {
            return Err(MetricsError::UnmatchedReplicates { baseline: baseline.len(), arm: arm.len() });
        }
        Exchange::Sentences => exchange_sentences(&table, resampling),
        Exchange::Units => {
            let totals = table.totals();
            let of_units = |units: &[Vec<(usize, f64)>]| -> Vec<f64> {
                let value = |unit: &Vec<(usize, f64)>| unit.iter().map(|&(l, w)| w * table.ratio(&totals, l)).sum();
                units.iter().map(value).collect()
            };
            match contrast(baseline, arm).as_slice() {
                [pairs] => flip_signs(&of_units(&pairs.units), resampling),
                groups => {
                    // The groups carry the sign of their side.
                    let sides: Vec<Vec<f64>> = groups.iter().map(|g| of_units(&g.units)).collect();
                    let old: Vec<f64> = sides[1].iter().map(|x| -x).collect();
                    shuffle_labels(&sides[0], &old, resampling)
                }
            }
        }
    };
    let smallest = if let Count::All(n) = all { 2.0 / n as f64 } else { 1.0 / (all.number() + 1) as f64 };
    let p_value = match all {
        // The observed assignment is among all of them.
        Count::All(n) => extreme as f64 / n as f64,
        Count::Drawn(n) => (extreme + 1) as f64 / (n + 1) as f64,
    };
    Ok(Randomisation { value, p_value, smallest: smallest.min(1.0), exchange })
}

/// How many assignments were tried.
#[derive(Clone, Copy)]
enum Count {
    All(usize),
    Drawn(usize),
}

impl Count {
    fn number(self) -> usize {
        let (Self::All(n) | Self::Drawn(n)) = self;
        n
    }
}

/// Two sums of the same numbers in another order differ by rounding; they count as equal.
fn at_least(difference: f64, observed: f64) -> bool {
    difference.abs() >= observed.abs() - 1e-12
}

fn exchange_sentences(table: &Table, resampling: &Resampling) -> (f64, usize, Count) {
    let (lanes, runs) = (table.lanes, table.lanes / 2);
    // What swapping a sentence adds to the baseline's sums; the arm loses as much.
    let row_change = |sentence: usize| {
        let row = table.row(sentence);
        (0..2).flat_map(move |part| {
            (0..runs).map(move |r| {
                let at = part * lanes + r;
                row[at + runs].cast_signed() - row[at].cast_signed()
            })
        })
    };
    let width = 2 * runs;
    let changes: Vec<i32> = (0..table.sentences).flat_map(row_change).collect();
    let totals = table.totals();
    let difference = |change: &[i32]| -> f64 {
        let ratio = |lane: usize, change: &dyn Fn(usize) -> i32| {
            let numerator = totals[lane].cast_signed() + change(0);
            let denominator = totals[lanes + lane].cast_signed() + change(1);
            crate::counts::ratio(f64::from(numerator), f64::from(denominator))
        };
        let run =
            |r: usize| ratio(runs + r, &|part| -change[part * runs + r]) - ratio(r, &|part| change[part * runs + r]);
        (0..runs).map(run).sum::<f64>() / runs as f64
    };
    let value = difference(&vec![0; width]);
    let mut random = stream("randomisation/sentences", resampling.seed);
    let mut extreme = 0;
    let mut change = vec![0; width];
    for _ in 0..resampling.resamples {
        change.fill(0);
        let mut bits = 0;
        for (sentence, row) in changes.chunks_exact(width).enumerate() {
            if sentence % 64 == 0 {
                bits = random.next_u64();
            }
            // All ones or all zeros: a mask instead of a branch that can't be predicted.
            let mask = -((bits & 1) as i32);
            bits >>= 1;
            for (sum, term) in change.iter_mut().zip(row) {
                *sum += term & mask;
            }
        }
        extreme += usize::from(at_least(difference(&change), value));
    }
    (value, extreme, Count::Drawn(resampling.resamples))
}

/// Paired units: each difference could have had the other sign.
fn flip_signs(differences: &[f64], resampling: &Resampling) -> (f64, usize, Count) {
    let n = differences.len();
    let mean = |negative: u64| {
        let signed = |(i, d): (usize, &f64)| if negative >> (i % 64) & 1 == 1 { -d } else { *d };
        differences.iter().enumerate().map(signed).sum::<f64>() / n as f64
    };
    let observed = mean(0);
    if n < 20 && 1 << n <= resampling.resamples {
        let extreme = (0..1_u64 << n).filter(|&signs| at_least(mean(signs), observed)).count();
        return (observed, extreme, Count::All(1 << n));
    }
    let mut random = stream("randomisation/units", resampling.seed);
    let drawn = (0..resampling.resamples).filter(|_| {
        let flipped = |d: &f64| if random.next_u32() & 1 == 1 { -d } else { *d };
        at_least(differences.iter().map(flipped).sum::<f64>() / n as f64, observed)
    });
    (observed, drawn.count(), Count::Drawn(resampling.resamples))
}

/// Independent units: each could have been in the other arm.
fn shuffle_labels(new: &[f64], old: &[f64], resampling: &Resampling) -> (f64, usize, Count) {
    let mut all = [new, old].concat();
    let total: f64 = all.iter().sum();
    let difference = |sum: f64| sum / new.len() as f64 - (total - sum) / old.len() as f64;
    let observed = difference(new.iter().sum());
    let n = all.len();
    if n < 20 && 1 << n <= 4 * resampling.resamples {
        let chosen = (0..1_u32 << n).filter(|labels| labels.count_ones() as usize == new.len());
        let (mut count, mut extreme) = (0, 0);
        for labels in chosen {
            count += 1;
            let sum = all.iter().enumerate().filter(|(i, _)| labels >> i & 1 == 1).map(|(_, x)| x).sum();
            extreme += usize::from(at_least(difference(sum), observed));
        }
        return (observed, extreme, Count::All(count));
    }
    let mut random = stream("randomisation/units", resampling.seed);
    let mut extreme = 0;
    for _ in 0..resampling.resamples {
        // The first steps of Fisher and Yates choose the arm's units.
        for i in 0..new.len() {
            let j = i + below(random.next_u32(), n - i);
            all.swap(i, j);
        }
        extreme += usize::from(at_least(difference(all[..new.len()].iter().sum()), observed));
    }
    (observed, extreme, Count::Drawn(resampling.resamples))
}
