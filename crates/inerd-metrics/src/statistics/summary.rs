use std::fmt;

use serde::{Deserialize, Serialize};

use statrs::distribution::ContinuousCDF;

use super::bootstrap::student;
use super::moments;

/// Mean ± sample deviation over independent repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub n: usize,
    pub mean: f64,
    /// Sample deviation (divisor n - 1); none below three repetitions, where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    pub min: f64,
    pub max: f64,
}

impl Summary {
    /// `None` where there is nothing to summarise, or a value is not finite.
    pub fn new(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let (mean, variance) = moments(values);
        Some(Self {
            n: values.len(),
            mean,
            deviation: (values.len() >= 3).then(|| variance.sqrt()),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    /// Half of Student's interval for the mean: `t(confidence, n - 1) · deviation / √n`; `None` without a deviation.
    pub fn half_width(&self, confidence: f64) -> Option<f64> {
        let deviation = self.deviation?;
        let t = student(self.n as f64 - 1.0).inverse_cdf(f64::midpoint(1.0, confidence));
        Some(t * deviation / (self.n as f64).sqrt())
    }
}

/// `61.0 ± 1.0 (n = 3)`; one decimal unless the format asks for another precision.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$}", self.mean)?;
        if let Some(deviation) = self.deviation {
            write!(f, " ± {deviation:.digits$}")?;
        }
        write!(f, " (n = {})", self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_sixty_one_sixty_two() {
        let summary = Summary::new(&[60.0, 61.0, 62.0]).unwrap();
        assert_eq!(summary.to_string(), "61.0 ± 1.0 (n = 3)");
        assert_eq!((summary.mean, summary.deviation), (61.0, Some(1.0)));
    }

    #[test]
    fn the_interval_is_that_of_students_table() {
        // t(0.975, 2) = 4.302653, from the table.
        let half = Summary::new(&[60.0, 61.0, 62.0]).unwrap().half_width(0.95).unwrap();
        assert!((half - 4.302_653 / 3f64.sqrt()).abs() < 1e-5, "{half}");
        assert_eq!(Summary::new(&[60.0, 62.0]).unwrap().half_width(0.95), None);
    }

    #[test]
    fn two_seeds_have_no_deviation() {
        assert_eq!(Summary::new(&[60.0, 62.0]).unwrap().to_string(), "61.0 (n = 2)");
        assert_eq!(Summary::new(&[60.0]).unwrap().to_string(), "60.0 (n = 1)");
        assert_eq!(Summary::new(&[]), None);
        assert_eq!(Summary::new(&[f64::NAN]), None);
    }
}
