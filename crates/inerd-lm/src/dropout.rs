//! Dropout whose zeros are a function of named streams, so that a resumed training draws the same ones.

use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Where the zeros of one forward pass come from. Every place in the model has a stream of its own.
#[derive(Debug, Clone)]
pub struct Noise {
    key: blake3::Hash,
}

impl Noise {
    /// The noise of a pass: `purpose` names the pass within the training that `seed` belongs to.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self { key: hasher.finalize() }
    }

    /// `x` with each value zeroed with probability `share` and the others scaled up by 1 / (1 - share), so that the
    /// expectation stays (Srivastava et al. 2014). `place` tells the places of a model apart.
    pub(crate) fn drop<const D: usize>(&self, x: Tensor<D>, share: f64, place: u64) -> Tensor<D> {
        if share <= 0.0 {
            return x;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.key.as_bytes());
        hasher.update(&place.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
        let kept = (1.0 / (1.0 - share)) as f32;
        // 16 bits a draw: the share is met to 1 / 65,536.
        let border = (share * 65_536.0).round() as u32;
        let mut draws = vec![0u8; 2 * x.dims().iter().product::<usize>()];
        rng.fill_bytes(&mut draws);
        let factors: Vec<f32> = (draws.chunks_exact(2))
            .map(|b| if u32::from(u16::from_le_bytes([b[0], b[1]])) < border { 0.0 } else { kept })
            .collect();
        let factors = Tensor::<D>::from_data(TensorData::new(factors, x.dims().to_vec()), &x.device());
        x * factors
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn zeros_depend_on_seed_purpose_and_place_and_keep_the_expectation() {
        let x = || Tensor::<2>::ones([200, 50], &Device::flex());
        let drop = |seed, purpose, place| -> Vec<f32> {
            Noise::new(seed, purpose).drop(x(), 0.25, place).into_data().iter::<f32>().collect()
        };
        let once = drop(1, "step 1", 7);
        assert_eq!(once, drop(1, "step 1", 7));
        for other in [drop(2, "step 1", 7), drop(1, "step 2", 7), drop(1, "step 1", 8)] {
            assert_ne!(once, other);
        }
        let zeros = once.iter().filter(|&&v| v == 0.0).count() as f64 / once.len() as f64;
        assert!((zeros - 0.25).abs() < 0.02, "{zeros}");
        assert!(once.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
        let mean = once.iter().sum::<f32>() / once.len() as f32;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
