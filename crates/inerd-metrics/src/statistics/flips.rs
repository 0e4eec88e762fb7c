use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

/// The exact test of `McNemar` on what two arms judged differently.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Right under the baseline and wrong under the arm.
    pub lost: u64,
    /// Wrong under the baseline and right under the arm.
    pub gained: u64,
    /// Two-sided; 1 where nothing flipped.
    pub p_value: f64,
}

/// The test of `McNemar` (1947) in its exact form: under the null a flip goes either way with probability 1/2.
pub fn mcnemar(lost: u64, gained: u64) -> McNemar {
    let (fewer, flips) = (lost.min(gained), lost + gained);
    // P(X <= k) of a binomial with p = 1/2 is the regularised incomplete beta function at 1/2.
    let tail = if fewer == flips { 1.0 } else { beta_reg((flips - fewer) as f64, fewer as f64 + 1.0, 0.5) };
    McNemar { lost, gained, p_value: (2.0 * tail).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_by_hand() {
        assert_eq!(mcnemar(0, 0).p_value, 1.0);
        assert_eq!(mcnemar(3, 3).p_value, 1.0);
        // 2 * (1/2)^5, and 2 * (1 + 6) / 64.
        assert!((mcnemar(0, 5).p_value - 0.0625).abs() < 1e-15);
        assert!((mcnemar(5, 1).p_value - 0.21875).abs() < 1e-15);
    }
}
