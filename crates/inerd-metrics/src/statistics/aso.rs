use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{below, stream};
use crate::interval::normal_quantile;
use crate::{MetricsError, Result};

/// How far the arm is from being stochastically better than the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AlmostStochasticOrder {
    /// Share of the squared Wasserstein distance on which the arm's quantiles are the smaller ones: 0 is always
    /// better, 1/2 no order, 1 always worse.
    pub violation: f64,
    /// Upper bound of the violation at the given confidence. Below 1/2 (better: below 0.2) the arm counts as better.
    pub epsilon_min: f64,
}

/// Almost Stochastic Order of two samples of scores over seeds (del Barrio et al. 2018; Dror et al. 2019, eq. 4 to 6).
///
/// The integrals over quantile functions are exact sums over their steps.
///
/// # Errors
/// Where a sample is empty or not finite.
pub fn almost_stochastic_order(
    arm: &[f64],
    baseline: &[f64],
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Result<AlmostStochasticOrder> {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    if arm.is_empty() || baseline.is_empty() || arm.iter().chain(baseline).any(|x| !x.is_finite()) {
        return Err(MetricsError::NoReplicates);
    }
    if resamples == 0 || !(confidence > 0.0 && confidence < 1.0) {
        return Err(MetricsError::Resampling { resamples, level: confidence });
    }
    let (arm, baseline) = (sorted(arm), sorted(baseline));
    let violation = violation_ratio(&arm, &baseline);
    let mut random = stream("aso", seed);
    let mut again = |values: &[f64]| {
        let drawn: Vec<f64> = values.iter().map(|_| values[below(random.next_u32(), values.len())]).collect();
        sorted(&drawn)
    };
    let deviations: Vec<f64> =
        (0..resamples).map(|_| violation_ratio(&again(&arm), &again(&baseline)) - violation).collect();
    let mean = deviations.iter().sum::<f64>() / resamples as f64;
    let variance = deviations.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / resamples as f64;
    // The scale √(nm/(n+m)) of the limit theorem is in σ and divided out again.
    let epsilon_min = violation - variance.sqrt() * normal_quantile(1.0 - confidence);
    Ok(AlmostStochasticOrder { violation, epsilon_min: epsilon_min.clamp(0.0, 1.0) })
}

/// ∫ over {arm < baseline} of (arm - baseline)², divided by the whole integral; 1/2 where both are the same.
fn violation_ratio(arm: &[f64], baseline: &[f64]) -> f64 {
    let (n, m) = (arm.len(), baseline.len());
    let (mut i, mut j, mut at) = (0, 0, 0);
    let (mut violated, mut whole) = (0.0, 0.0);
    // Positions are counted in units of 1/(n m), in which all steps end at whole numbers.
    while i < n && j < m {
        let end = ((i + 1) * m).min((j + 1) * n);
        let width = (end - at) as f64;
        let difference = arm[i] - baseline[j];
        whole += width * difference * difference;
        if difference < 0.0 {
            violated += width * difference * difference;
        }
        at = end;
        i += usize::from(end == (i + 1) * m);
        j += usize::from(end == (j + 1) * n);
    }
    if whole == 0.0 { 0.5 } else { violated / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aso(arm: &[f64], baseline: &[f64]) -> AlmostStochasticOrder {
        almost_stochastic_order(arm, baseline, 0.95, 1000, 1).unwrap()
    }

    #[test]
    fn always_better_never_better_and_the_same() {
        assert_eq!(aso(&[3.0, 4.0, 5.0], &[0.0, 1.0, 2.0]), AlmostStochasticOrder { violation: 0.0, epsilon_min: 0.0 });
        assert_eq!(aso(&[0.0, 1.0], &[2.0, 3.0, 4.0]), AlmostStochasticOrder { violation: 1.0, epsilon_min: 1.0 });
        assert_eq!(aso(&[1.0, 1.0], &[1.0, 1.0, 1.0]).violation, 0.5);
    }

    #[test]
    fn the_ratio_by_hand() {
        // Quantiles 0 | 4 against 1 | 1: squared differences 1 (violated) and 9.
        assert!((violation_ratio(&[0.0, 4.0], &[1.0]) - 0.1).abs() < 1e-15);
        // Steps of thirds against halves: 0-1/3 (0,1), 1/3-1/2 (2,1), 1/2-2/3 (2,3), 2/3-1 (4,3).
        let expected = (1.0 / 3.0 + 1.0 / 6.0) / (1.0 / 3.0 + 1.0 / 6.0 + 1.0 / 6.0 + 1.0 / 3.0);
        assert!((violation_ratio(&[0.0, 2.0, 4.0], &[1.0, 3.0]) - expected).abs() < 1e-15);
    }

    #[test]
    fn an_empty_sample_is_an_error() {
        assert!(almost_stochastic_order(&[], &[1.0], 0.95, 10, 0).is_err());
        assert!(almost_stochastic_order(&[f64::NAN], &[1.0], 0.95, 10, 0).is_err());
    }
}
