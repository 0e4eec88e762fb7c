use serde::{Deserialize, Serialize};
use statrs::distribution::ContinuousCDF;

use super::bootstrap::student;
use super::moments;
use crate::interval::normal_quantile;

/// How large a difference is, in the scores' unit and in deviations over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectSize {
    /// Mean of the arm minus mean of the baseline, in the unit of the scores.
    pub difference: f64,
    /// Welch's t interval of the difference; absent where an arm has one score only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// Hedges' g: the difference in pooled deviations, corrected for small samples. Absent where nothing deviates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub g: Option<f64>,
    /// Normal interval of g (Hedges & Olkin 1985, ch. 5, eq. 10 and 11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub g_interval: Option<(f64, f64)>,
}

/// `None` where an arm has no score or one that is not finite. `level` is the intervals' coverage.
pub fn effect_size(arm: &[f64], baseline: &[f64], level: f64) -> Option<EffectSize> {
    if arm.is_empty() || baseline.is_empty() || arm.iter().chain(baseline).any(|x| !x.is_finite()) {
        return None;
    }
    let ((mean_a, var_a), (mean_b, var_b)) = (moments(arm), moments(baseline));
    let (n, m) = (arm.len() as f64, baseline.len() as f64);
    let difference = mean_a - mean_b;
    let mut effect = EffectSize { difference, interval: None, g: None, g_interval: None };
    if arm.len() < 2 || baseline.len() < 2 {
        return Some(effect);
    }
    let upper = f64::midpoint(1.0, level.clamp(0.0, 1.0 - 1e-12));
    let (of_a, of_b) = (var_a / n, var_b / m);
    let variance = of_a + of_b;
    if variance == 0.0 {
        effect.interval = Some((difference, difference));
        return Some(effect);
    }
    let freedom = variance * variance / (of_a * of_a / (n - 1.0) + of_b * of_b / (m - 1.0));
    let half_width = student(freedom).inverse_cdf(upper) * variance.sqrt();
    effect.interval = Some((difference - half_width, difference + half_width));

    let pooled = ((n - 1.0) * var_a + (m - 1.0) * var_b) / (n + m - 2.0);
    let g = difference / pooled.sqrt() * (1.0 - 3.0 / (4.0 * (n + m - 2.0) - 1.0));
    let half_width = normal_quantile(upper) * ((n + m) / (n * m) + g * g / (2.0 * (n + m))).sqrt();
    effect.g = Some(g);
    effect.g_interval = Some((g - half_width, g + half_width));
    Some(effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deviation() {
        let effect = effect_size(&[61.0, 62.0, 63.0], &[60.0, 61.0, 62.0], 0.95).unwrap();
        assert_eq!(effect.difference, 1.0);
        // Four degrees of freedom: the correction is 1 - 3/15.
        assert!((effect.g.unwrap() - 0.8).abs() < 1e-12);
        // t(0.975, 4) = 2.776445 times sqrt(2/3).
        let (low, high) = effect.interval.unwrap();
        assert!((low - (1.0 - 2.266_958)).abs() < 1e-5 && (high - (1.0 + 2.266_958)).abs() < 1e-5, "{low} {high}");
    }

    #[test]
    fn never_nan() {
        assert_eq!(effect_size(&[], &[1.0], 0.95), None);
        let single = effect_size(&[2.0], &[1.0], 0.95).unwrap();
        assert_eq!((single.difference, single.interval, single.g), (1.0, None, None));
        let still = effect_size(&[2.0, 2.0], &[1.0, 1.0], 0.95).unwrap();
        assert_eq!((still.interval, still.g), (Some((1.0, 1.0)), None));
    }
}
