//! Named random streams: every draw in this crate comes from one of them.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The stream of draws for one purpose under one seed. Different purposes are independent of each other.
pub fn stream(purpose: &str, seed: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
