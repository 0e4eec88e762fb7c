use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::bootstrap::student;

/// Probability that a two-sided t-test at `alpha` finds a difference of `effect` between two arms of `n` seeds each,
/// where scores deviate by `deviation` (same unit as the effect) within an arm. 0 below two seeds.
///
/// Exact: the noncentral t distribution, integrated over the distribution of the estimated deviation.
pub fn power(n: usize, effect: f64, deviation: f64, alpha: f64) -> f64 {
    let numbers = [effect, deviation, alpha];
    if n < 2 || numbers.iter().any(|x| !x.is_finite()) || !(alpha > 0.0 && alpha < 1.0) {
        return 0.0;
    }
    if deviation <= 0.0 {
        return if effect == 0.0 { alpha } else { 1.0 };
    }
    let freedom = (2 * n - 2) as f64;
    let critical = student(freedom).inverse_cdf(1.0 - alpha / 2.0);
    let shift = effect.abs() / deviation * (n as f64 / 2.0).sqrt();
    let normal = Normal::standard();
    let rejected = |ratio: f64| normal.cdf(shift - critical * ratio) + normal.cdf(-shift - critical * ratio);
    expectation_over_chi(freedom, rejected).clamp(0.0, 1.0)
}

/// E[f(s)] where freedom · s² has the χ² distribution: Simpson's rule over ±10 deviations around 1.
fn expectation_over_chi(freedom: f64, f: impl Fn(f64) -> f64) -> f64 {
    let half = freedom / 2.0;
    let log_scale = half.ln() * half + std::f64::consts::LN_2 - ln_gamma(half);
    let density = |s: f64| if s > 0.0 { (log_scale + (freedom - 1.0) * s.ln() - half * s * s).exp() } else { 0.0 };
    let reach = 10.0 / (2.0 * freedom).sqrt();
    let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let steps = 2000;
    let width = (high - low) / f64::from(steps);
    let term = |i: i32| {
        let s = low + width * f64::from(i);
        let weight = if i == 0 || i == steps { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
        weight * density(s) * f(s)
    };
    (0..=steps).map(term).sum::<f64>() * width / 3.0
}

/// The smallest number of seeds per arm with at least the wanted power; `None` where 10,000 do not reach it.
pub fn required_seeds(effect: f64, deviation: f64, alpha: f64, wanted: f64) -> Option<usize> {
    const MOST: usize = 10_000;
    if effect == 0.0 || power(MOST, effect, deviation, alpha) < wanted {
        return None;
    }
    // Power grows with n: bisect.
    let (mut too_few, mut enough) = (1, MOST);
    while enough - too_few > 1 {
        let middle = usize::midpoint(too_few, enough);
        if power(middle, effect, deviation, alpha) < wanted {
            too_few = middle;
        } else {
            enough = middle;
        }
    }
    Some(enough)
}

/// "About k more seeds for this minimum effect": how many more each arm needs beyond the `n` that it has.
pub fn more_seeds(n: usize, effect: f64, deviation: f64, alpha: f64, wanted: f64) -> Option<usize> {
    required_seeds(effect, deviation, alpha, wanted).map(|needed| needed.saturating_sub(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The classic table (Cohen 1988; G*Power 3): two-sided, alpha 0.05, power 0.8.
    #[test]
    fn the_classic_sample_sizes() {
        for (effect, seeds) in [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (2.0, 6)] {
            assert_eq!(required_seeds(effect, 1.0, 0.05, 0.8), Some(seeds), "{effect}");
        }
        assert_eq!(more_seeds(5, 2.0, 2.0, 0.05, 0.8), Some(12));
        assert_eq!(more_seeds(20, 2.0, 2.0, 0.05, 0.8), Some(0));
    }

    #[test]
    fn degenerate_questions_have_answers() {
        assert_eq!(power(1, 1.0, 1.0, 0.05), 0.0);
        assert_eq!(power(2, 1.0, 0.0, 0.05), 1.0);
        assert_eq!(power(5, f64::NAN, 1.0, 0.05), 0.0);
        assert_eq!(required_seeds(0.0, 1.0, 0.05, 0.8), None);
        assert_eq!(required_seeds(1e-9, 1.0, 0.05, 0.8), None);
        assert_eq!(required_seeds(1.0, 0.0, 0.05, 0.8), Some(2));
    }
}
