//! Whether a difference is more than noise.
//!
//! Two things vary in an experiment: which sentences are in the test set, and how training went (the *unit*: a seed, or
//! all replicates that share a training prefix). A statement about the trained models needs the first only; a
//! statement about the method needs both ([`Over`]).

mod aso;
mod bootstrap;
mod effect;
mod flips;
mod holm;
mod power;
mod randomisation;
mod replicates;
mod summary;

pub use aso::{AlmostStochasticOrder, almost_stochastic_order};
pub use bootstrap::{Difference, Estimate, Over, Resampling, bootstrap, paired_bootstrap};
pub use effect::{EffectSize, effect_size};
pub use flips::{McNemar, mcnemar};
pub use holm::holm;
pub use power::{more_seeds, power, required_seeds};
pub use randomisation::{Exchange, Randomisation, approximate_randomisation};
pub use replicates::{Replicate, Statistic};
pub use summary::Summary;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The random stream of one purpose: another purpose or seed gives independent numbers.
pub(crate) fn stream(purpose: &str, seed: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose.as_bytes()).update(&[0]).update(&seed.to_le_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// A number below `n` from 32 random bits (Lemire's multiplication; the bias is at most n / 2^32).
pub(crate) fn below(bits: u32, n: usize) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

/// Mean and unbiased variance; zeros where they are not defined.
pub(crate) fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, if values.len() < 2 { 0.0 } else { squares / (n - 1.0) })
}

/// The value below which a share `p` of the sorted values lies, interpolated between neighbours (R's type 7).
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = p.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}
