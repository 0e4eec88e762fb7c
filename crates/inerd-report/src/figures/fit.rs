//! A power law through errors: error = a · n^b, a straight line on logarithms.

use std::fmt;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Ordinary least squares of ln(error) on ln(n).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PowerLaw {
    /// ln a and b.
    intercept: f64,
    pub(crate) exponent: f64,
    /// 95 % interval of the exponent.
    pub(crate) low: f64,
    pub(crate) high: f64,
    mean_x: f64,
    /// Σ (x − mean x)².
    spread_x: f64,
    /// Residual deviation.
    residual: f64,
    observations: f64,
    /// Quantile of Student's t for 95 %.
    t: f64,
}

/// Fits (n, error) pairs. `None` with fewer than three sizes (a line through two says nothing about itself) or where
/// one of the numbers is not positive.
pub(crate) fn fit(points: &[(f64, f64)]) -> Option<PowerLaw> {
    let mut sizes: Vec<u64> = points.iter().map(|(n, _)| n.to_bits()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let positive = |value: f64| value > 0.0 && value.is_finite();
    if sizes.len() < 3 || !points.iter().all(|(n, error)| positive(*n) && positive(*error)) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|(n, error)| (n.ln(), error.ln())).collect();
    let count = logs.len() as f64;
    let mean_x = logs.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = logs.iter().map(|p| p.1).sum::<f64>() / count;
    let spread_x = logs.iter().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>();
    let exponent = logs.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>() / spread_x;
    let intercept = mean_y - exponent * mean_x;
    let squares = logs.iter().map(|p| (p.1 - intercept - exponent * p.0).powi(2)).sum::<f64>();
    let residual = (squares / (count - 2.0)).sqrt();
    let t = StudentsT::new(0.0, 1.0, count - 2.0).ok()?.inverse_cdf(0.975);
    let margin = t * residual / spread_x.sqrt();
    Some(PowerLaw {
        intercept,
        exponent,
        low: exponent - margin,
        high: exponent + margin,
        mean_x,
        spread_x,
        residual,
        observations: count,
        t,
    })
}

impl PowerLaw {
    /// The error at size `n`, and the lower and upper end of the mean's 95 % interval.
    pub(crate) fn at(&self, n: f64) -> [f64; 3] {
        let x = n.ln();
        let y = self.intercept + self.exponent * x;
        let leverage = 1.0 / self.observations + (x - self.mean_x).powi(2) / self.spread_x;
        let margin = self.t * self.residual * leverage.sqrt();
        [y.exp(), (y - margin).exp(), (y + margin).exp()]
    }
}

impl fmt::Display for PowerLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exponent, low, high, .. } = self;
        let text = format!("∝ n^{exponent:.3} [{low:.3}, {high:.3}]");
        f.write_str(&text.replace('-', "−"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_power_law_is_found_again() {
        let points: Vec<(f64, f64)> = [10.0, 100.0, 1000.0, 10_000.0].map(|n: f64| (n, 80.0 * n.powf(-0.25))).into();
        let law = fit(&points).unwrap();
        assert!((law.exponent + 0.25).abs() < 1e-12 && law.high - law.low < 1e-9, "{law}");
        assert!((law.at(500.0)[0] - 80.0 * 500f64.powf(-0.25)).abs() < 1e-9);
    }

    /// By hand: x = 0, 1, 2; y = 2, 1, 1 (natural logarithms) gives slope −1/2, residual variance 1/6, and with one
    /// degree of freedom t = 12.706, so the margin is 12.706 · √(1/6) / √2.
    #[test]
    fn the_interval_is_students() {
        let e = std::f64::consts::E;
        let points: Vec<(f64, f64)> =
            [(1.0, 2.0), (e, 1.0), (e * e, 1.0)].map(|(n, y): (f64, f64)| (n, y.exp())).into();
        let law = fit(&points).unwrap();
        assert!((law.exponent + 0.5).abs() < 1e-9, "{law:?}");
        assert!(
            (law.high - law.exponent - 12.706_204_736 * (1.0f64 / 6.0).sqrt() / 2.0f64.sqrt()).abs() < 1e-6,
            "{law:?}"
        );
    }

    #[test]
    fn two_sizes_are_no_law() {
        assert_eq!(fit(&[(10.0, 50.0), (10.0, 49.0), (100.0, 40.0)]), None);
        assert_eq!(fit(&[(10.0, 50.0), (100.0, 40.0), (1000.0, 0.0)]), None, "nothing is left to fit");
    }
}
