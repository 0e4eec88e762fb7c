use serde::{Deserialize, Serialize};

use crate::counts::ratio;

/// Whether entities of confidence 0.8 are correct in 80 of 100 cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error (Naeini et al. 2015; Guo et al. 2017, eq. 5): the mean gap between confidence and
    /// accuracy, weighted by the bins' sizes.
    pub ece: f64,
    /// Mean squared difference of confidence and correctness (Brier 1950).
    pub brier: f64,
    /// Entities with a confidence.
    pub n: u64,
    /// The reliability curve: ten bins of equal width, the empty ones too.
    pub bins: Vec<CalibrationBin>,
}

/// Entities with a confidence in `low..high` (the last bin includes 1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    pub low: f64,
    pub high: f64,
    pub n: u64,
    /// Mean; 0 in an empty bin.
    pub confidence: f64,
    /// Share of correct entities; 0 in an empty bin.
    pub accuracy: f64,
}

impl Calibration {
    const BINS: usize = 10;

    /// From (confidence, correct) of each entity. Confidences outside 0..=1 are moved to the nearer end, NaN is left
    /// out; `None` where nothing remains.
    pub fn new(judged: &[(f64, bool)]) -> Option<Self> {
        // Sums of confidence and correct entities, count.
        let mut sums = [(0.0, 0_u64, 0_u64); Self::BINS];
        let mut squares = 0.0;
        let mut n = 0;
        for &(confidence, correct) in judged.iter().filter(|(c, _)| !c.is_nan()) {
            let confidence = confidence.clamp(0.0, 1.0);
            let bin = ((confidence * Self::BINS as f64) as usize).min(Self::BINS - 1);
            sums[bin].0 += confidence;
            sums[bin].1 += u64::from(correct);
            sums[bin].2 += 1;
            squares += (confidence - f64::from(u8::from(correct))).powi(2);
            n += 1;
        }
        if n == 0 {
            return None;
        }
        let width = 1.0 / Self::BINS as f64;
        let bins: Vec<CalibrationBin> = (sums.iter().enumerate())
            .map(|(index, &(confidence, correct, size))| CalibrationBin {
                low: index as f64 * width,
                high: (index + 1) as f64 * width,
                n: size,
                confidence: ratio(confidence, size as f64),
                accuracy: ratio(correct as f64, size as f64),
            })
            .collect();
        let gap = |b: &CalibrationBin| b.n as f64 * (b.confidence - b.accuracy).abs();
        Some(Self { ece: bins.iter().map(gap).sum::<f64>() / n as f64, brier: squares / n as f64, n, bins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_by_hand() {
        let calibration = Calibration::new(&[(0.9, true), (0.95, false), (0.25, false), (1.0, true)]).unwrap();
        // Last bin: mean 0.95, two of three correct; third bin: 0.25, none.
        let expected = (3.0 * (0.95 - 2.0 / 3.0) + 0.25) / 4.0;
        assert!((calibration.ece - expected).abs() < 1e-15, "{}", calibration.ece);
        assert!((calibration.brier - (0.01 + 0.9025 + 0.0625) / 4.0).abs() < 1e-15);
        assert_eq!((calibration.bins.len(), calibration.bins[9].n, calibration.bins[2].n), (10, 3, 1));
    }

    #[test]
    fn no_confidence_no_curve_and_never_nan() {
        assert_eq!(Calibration::new(&[]), None);
        assert_eq!(Calibration::new(&[(f64::NAN, true)]), None);
        let moved = Calibration::new(&[(7.0, true), (-1.0, false)]).unwrap();
        assert_eq!((moved.ece, moved.brier), (0.0, 0.0));
    }
}
