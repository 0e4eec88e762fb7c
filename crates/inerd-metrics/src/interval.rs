use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::beta_reg;

use crate::counts::ratio;

/// A rate with its exact 95 % interval. "0 of 3,412, upper bound 0.11 %" says more than "eliminated".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub count: u64,
    /// The denominator.
    pub of: u64,
    /// `count / of`; 0 where `of` is 0.
    pub rate: f64,
    /// Lower Clopper-Pearson bound (95 %).
    pub low: f64,
    /// Upper Clopper-Pearson bound (95 %); 1 where `of` is 0, because nothing is known then.
    pub high: f64,
}

impl Rate {
    pub fn new(count: u64, of: u64) -> Self {
        let (low, high) = clopper_pearson(count, of, 0.95);
        Self { count, of, rate: ratio(count as f64, of as f64), low, high }
    }
}

/// Exact two-sided interval of a binomial proportion (Clopper & Pearson 1934): the probabilities at which `count` or
/// more, and `count` or fewer, of `of` still have probability (1 - level) / 2.
///
/// `(0, 1)` where `of` is 0.
pub fn clopper_pearson(count: u64, of: u64, level: f64) -> (f64, f64) {
    let (k, n) = (count.min(of) as f64, of as f64);
    let tail = (1.0 - level.clamp(0.0, 1.0)) / 2.0;
    let low = if count == 0 { 0.0 } else { beta_quantile(tail, k, n - k + 1.0) };
    let high = if count >= of { 1.0 } else { beta_quantile(1.0 - tail, k + 1.0, n - k) };
    (low, high)
}

/// The x at which the regularised incomplete beta function reaches `p`, by bisection down to neighbouring floats:
/// slower than Newton's method, but without a case in which it fails.
fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return middle;
        }
        if beta_reg(a, b, middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// Wilson's score interval of a binomial proportion (Wilson 1927): shorter than Clopper-Pearson, right on average
/// instead of always.
///
/// `(0, 1)` where `of` is 0.
pub fn wilson(count: u64, of: u64, level: f64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = of as f64;
    let p = count.min(of) as f64 / n;
    let z = normal_quantile(f64::midpoint(1.0, level.clamp(0.0, 1.0 - f64::EPSILON)));
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// Quantile of the standard normal distribution.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_of_3412_has_the_upper_bound_of_the_handbook() {
        let rate = Rate::new(0, 3412);
        assert_eq!((rate.rate, rate.low), (0.0, 0.0));
        // For a zero count the bound has a closed form: 1 - (α/2)^(1/n).
        let exact = -f64::exp_m1(f64::ln(0.025) / 3412.0);
        assert!((rate.high - exact).abs() < 1e-15, "{} {exact}", rate.high);
        assert_eq!(format!("{:.2} %", 100.0 * rate.high), "0.11 %");
    }

    /// Values of `scipy.stats.binomtest(k, n).proportion_ci(0.95, method="exact" | "wilson")`, scipy 1.17.1.
    #[test]
    fn intervals_equal_scipy() {
        for (k, n, exact, score) in SCIPY {
            let close = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 1e-12 && (a.1 - b.1).abs() < 1e-12;
            assert!(close(clopper_pearson(k, n, 0.95), exact), "{k}/{n}: {:?}", clopper_pearson(k, n, 0.95));
            assert!(close(wilson(k, n, 0.95), score), "{k}/{n}: {:?}", wilson(k, n, 0.95));
        }
    }

    #[test]
    fn nothing_observed_says_nothing() {
        assert_eq!(clopper_pearson(0, 0, 0.95), (0.0, 1.0));
        assert_eq!(wilson(0, 0, 0.95), (0.0, 1.0));
        assert_eq!(Rate::new(0, 0), Rate { count: 0, of: 0, rate: 0.0, low: 0.0, high: 1.0 });
    }

    type Interval = (f64, f64);
    const SCIPY: [(u64, u64, Interval, Interval); 7] = [
        (0, 10, (0.0, 0.308_497_107_818_762_94), (0.0, 0.277_532_799_862_889_26)),
        (
            1,
            10,
            (0.002_528_578_544_462_572_8, 0.445_016_117_028_195_43),
            (0.017_876_213_095_072_896, 0.404_150_026_795_238_5),
        ),
        (5, 10, (0.187_086_028_447_404_5, 0.812_913_971_552_595_5), (0.236_593_090_512_564, 0.763_406_909_487_436_1)),
        (10, 10, (0.691_502_892_181_237_1, 1.0), (0.722_467_200_137_110_9, 1.0)),
        (
            3,
            3412,
            (0.000_181_359_144_150_321_5, 0.002_567_369_924_340_245_3),
            (0.000_299_068_291_600_681_5, 0.002_582_054_541_334_337),
        ),
        (
            77,
            1000,
            (0.061_242_027_783_546_2, 0.095_299_380_978_253_04),
            (0.062_047_907_060_605_91, 0.095_189_530_618_173_74),
        ),
        (
            999,
            1000,
            (0.994_441_075_720_150_2, 0.999_974_682_512_508_3),
            (0.994_357_441_402_042_1, 0.999_823_453_629_373_9),
        ),
    ];
}
