use serde::{Deserialize, Serialize};

/// The learning rate's course, as a factor of its peak. All warm up linearly from zero over `warmup` (a share of all
/// steps, 0 to 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Schedule {
    Constant {
        warmup: f64,
    },
    /// Down to zero at the last step.
    Linear {
        warmup: f64,
    },
    /// Half a cosine down to zero (Loshchilov & Hutter 2017, equation 5, one cycle).
    Cosine {
        warmup: f64,
    },
    /// Warm-up, stable, decay: constant, then linearly to zero over the last `decay` of all steps.
    Wsd {
        warmup: f64,
        decay: f64,
    },
}

impl Schedule {
    /// The factor at `step` (0-based) of `total` steps.
    pub fn factor(self, step: usize, total: usize) -> f64 {
        let total = total.max(1) as f64;
        let warmup = self.warmup() * total;
        // The first step must not be wasted on a rate of zero: count from one.
        let done = step as f64 + 1.0;
        if done < warmup {
            return done / warmup;
        }
        let progress = ((done - warmup) / (total - warmup).max(1.0)).clamp(0.0, 1.0);
        match self {
            Self::Constant { .. } => 1.0,
            Self::Linear { .. } => (1.0 - progress).max(1.0 / total),
            Self::Cosine { .. } => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()).max(1.0 / total),
            Self::Wsd { decay, .. } => {
                let left = total - done + 1.0;
                (left / (decay * total).max(1.0)).min(1.0)
            }
        }
    }

    fn warmup(self) -> f64 {
        match self {
            Self::Constant { warmup }
            | Self::Linear { warmup }
            | Self::Cosine { warmup }
            | Self::Wsd { warmup, .. } => warmup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_warms_up_peaks_at_one_and_stays_positive() {
        let schedules = [
            Schedule::Constant { warmup: 0.1 },
            Schedule::Linear { warmup: 0.1 },
            Schedule::Cosine { warmup: 0.1 },
            Schedule::Wsd { warmup: 0.1, decay: 0.2 },
        ];
        for schedule in schedules {
            let factors: Vec<f64> = (0..100).map(|s| schedule.factor(s, 100)).collect();
            assert!(factors.iter().all(|&f| f > 0.0 && f <= 1.0), "{schedule:?}: {factors:?}");
            assert!((factors[4] - 0.5).abs() < 1e-9, "{schedule:?} is not halfway through its warm-up");
            assert!((factors[9] - 1.0).abs() < 0.02, "{schedule:?} does not reach its peak");
        }
        assert!((Schedule::Constant { warmup: 0.0 }.factor(99, 100) - 1.0).abs() < f64::EPSILON);
        assert!(Schedule::Linear { warmup: 0.0 }.factor(99, 100) < 0.02);
        assert!((Schedule::Wsd { warmup: 0.0, decay: 0.5 }.factor(49, 100) - 1.0).abs() < f64::EPSILON);
        assert!((Schedule::Wsd { warmup: 0.0, decay: 0.5 }.factor(75, 100) - 0.5).abs() < f64::EPSILON);
    }
}
