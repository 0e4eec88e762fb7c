//! Layer norm (Ba et al. 2016) and root-mean-square norm (Zhang & Sennrich 2019) over the last dimension.

use rayon::prelude::*;

use crate::ROWS;
use crate::simd::{dot, sum, vectorised};

/// What flows back through a norm.
#[derive(Debug, Clone)]
pub struct NormGradient {
    /// `[rows, width]`
    pub input: Vec<f32>,
    /// `[width]`
    pub gain: Vec<f32>,
    /// `[width]`; empty for a norm without bias.
    pub bias: Vec<f32>,
}

/// `gain * (x - mean) / sqrt(variance + epsilon) + bias` of each row of `x` `[rows, width]`.
pub fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let width = gain.len();
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let (mean, inverse) = moments(x, epsilon);
                    for (((y, x), g), b) in out.iter_mut().zip(x).zip(gain).zip(bias) {
                        *y = ((x - mean) * inverse).mul_add(*g, *b);
                    }
                }
            },
        );
    });
    out
}

/// The gradient of [`layer_norm`], given that of its output.
pub fn layer_norm_gradient(x: &[f32], gain: &[f32], epsilon: f32, upstream: &[f32]) -> NormGradient {
    let width = gain.len();
    let row = |x: &[f32], dy: &[f32], dx: &mut [f32], sums: &mut Sums| {
        let (mean, inverse) = moments(x, epsilon);
        // With z = (x - mean) * inverse: dx = inverse * (dy g - mean(dy g) - z mean(dy g z)).
        for (((dx, x), (dy, g)), (dg, db)) in
            dx.iter_mut().zip(x).zip(dy.iter().zip(gain)).zip(sums.gain.iter_mut().zip(&mut sums.bias))
        {
            let z = (x - mean) * inverse;
            *dg = dy.mul_add(z, *dg);
            *db += dy;
            *dx = dy * g;
        }
        let average = sum(dx, |d| d) / width as f32;
        let along = (dot(dx, x) - mean * average * width as f32) * inverse / width as f32;
        for (dx, x) in dx.iter_mut().zip(x) {
            *dx = inverse * (*dx - average - (x - mean) * inverse * along);
        }
    };
    backwards(x, upstream, width, true, row)
}

/// `gain * x / sqrt(mean(x²) + epsilon)` of each row of `x` `[rows, width]`.
pub fn rms_norm(x: &[f32], gain: &[f32], epsilon: f32) -> Vec<f32> {
    let width = gain.len();
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let inverse = inverse_root(x, epsilon);
                    for ((y, x), g) in out.iter_mut().zip(x).zip(gain) {
                        *y = x * inverse * g;
                    }
                }
            },
        );
    });
    out
}

/// The gradient of [`rms_norm`], given that of its output.
pub fn rms_norm_gradient(x: &[f32], gain: &[f32], epsilon: f32, upstream: &[f32]) -> NormGradient {
    let width = gain.len();
    let row = |x: &[f32], dy: &[f32], dx: &mut [f32], sums: &mut Sums| {
        let inverse = inverse_root(x, epsilon);
        for (((dx, x), (dy, g)), dg) in dx.iter_mut().zip(x).zip(dy.iter().zip(gain)).zip(&mut sums.gain) {
            *dg = dy.mul_add(x * inverse, *dg);
            *dx = dy * g;
        }
        let along = dot(dx, x) * inverse * inverse / width as f32;
        for (dx, x) in dx.iter_mut().zip(x) {
            *dx = inverse * (*dx - x * along);
        }
    };
    backwards(x, upstream, width, false, row)
}

/// Gradients of the parameters, summed over some rows.
struct Sums {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

fn backwards(
    x: &[f32],
    upstream: &[f32],
    width: usize,
    bias: bool,
    row: impl Fn(&[f32], &[f32], &mut [f32], &mut Sums) + Sync,
) -> NormGradient {
    let zeros = || Sums { gain: vec![0.0; width], bias: vec![0.0; if bias { width } else { 0 }] };
    let mut input = vec![0.0; x.len()];
    let block = ROWS * width;
    let partial: Vec<Sums> = (input.par_chunks_mut(block))
        .zip(x.par_chunks(block).zip(upstream.par_chunks(block)))
        .map(|(dx, (x, dy))| {
            let mut sums = zeros();
            vectorised(
                #[inline(always)]
                || {
                    for ((dx, x), dy) in
                        dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width))
                    {
                        row(x, dy, dx, &mut sums);
                    }
                },
            );
            sums
        })
        .collect();
    let mut total = zeros();
    for sums in &partial {
        total.gain.iter_mut().zip(&sums.gain).for_each(|(t, s)| *t += s);
        total.bias.iter_mut().zip(&sums.bias).for_each(|(t, s)| *t += s);
    }
    NormGradient { input, gain: total.gain, bias: total.bias }
}

/// Mean and `1 / sqrt(variance + epsilon)`.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum(x, |x| x) / count;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[inline(always)]
fn inverse_root(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}
