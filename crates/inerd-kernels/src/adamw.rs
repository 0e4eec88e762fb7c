//! `AdamW` (Loshchilov & Hutter 2019, algorithm 2) in one pass over parameter, gradient and both moments.

use rayon::prelude::*;

use crate::simd::{sum, vectorised};

/// One step's coefficients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    pub learning_rate: f32,
    pub beta_1: f32,
    pub beta_2: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
    /// 1-based.
    pub step: usize,
    /// What the gradient is multiplied with first.
    pub gradient_scale: f32,
}

const BLOCK: usize = 1 << 16;

impl AdamW {
    /// Updates `parameter` and its moments.
    pub fn update(&self, parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let step = self.step as i32;
        let rate = self.learning_rate / (1.0 - self.beta_1.powi(step));
        let correction = 1.0 / (1.0 - self.beta_2.powi(step));
        let keep = 1.0 - self.learning_rate * self.weight_decay;
        let Self { beta_1, beta_2, epsilon, gradient_scale, .. } = *self;
        (parameter.par_chunks_mut(BLOCK))
            .zip(gradient.par_chunks(BLOCK))
            .zip(first.par_chunks_mut(BLOCK).zip(second.par_chunks_mut(BLOCK)))
            .for_each(|((p, g), (m, v))| {
                vectorised(
                    #[inline(always)]
                    || {
                        for ((p, g), (m, v)) in p.iter_mut().zip(g).zip(m.iter_mut().zip(v)) {
                            let g = g * gradient_scale;
                            *m = beta_1 * *m + (1.0 - beta_1) * g;
                            *v = beta_2 * *v + (1.0 - beta_2) * g * g;
                            *p = keep * *p - rate * *m / ((*v * correction).sqrt() + epsilon);
                        }
                    },
                );
            });
    }
}

/// Sum of squares, in f64 across blocks.
pub fn squared_norm(x: &[f32]) -> f64 {
    let block = |x: &[f32]| {
        vectorised(
            #[inline(always)]
            || f64::from(sum(x, |x| x * x)),
        )
    };
    x.par_chunks(BLOCK).map(block).collect::<Vec<_>>().iter().sum()
}
