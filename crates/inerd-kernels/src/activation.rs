//! The feed-forward layers' non-linearities.

use rayon::prelude::*;

use crate::simd::{exp, vectorised};

/// An element-wise function with a derivative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU in its tanh approximation (Hendrycks & Gimpel 2016, section 2).
    GeluTanh,
    Gelu,
    Silu,
    Relu,
}

/// Values that one thread takes at a time.
const BLOCK: usize = 1 << 14;

impl Activation {
    pub fn apply(self, x: &[f32]) -> Vec<f32> {
        match self {
            Self::GeluTanh => map(x, gelu_tanh),
            Self::Gelu => map(x, gelu),
            Self::Silu => map(x, silu),
            Self::Relu => map(x, |x| x.max(0.0)),
        }
    }

    /// The gradient at the input `x`, given that of the output.
    pub fn gradient(self, x: &[f32], upstream: &[f32]) -> Vec<f32> {
        match self {
            Self::GeluTanh => zip(x, upstream, |x, dy| dy * gelu_tanh_slope(x)),
            Self::Gelu => zip(x, upstream, |x, dy| dy * gelu_slope(x)),
            Self::Silu => zip(x, upstream, |x, dy| dy * silu_slope(x)),
            Self::Relu => zip(x, upstream, |x, dy| if x > 0.0 { dy } else { 0.0 }),
        }
    }
}

/// `silu(gate) * up` (Shazeer 2020, equation 6).
pub fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    zip(gate, up, |gate, up| silu(gate) * up)
}

/// The gradients of [`swiglu`] at `gate` and `up`.
pub fn swiglu_gradient(gate: &[f32], up: &[f32], upstream: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let through_gate = zip(gate, up, |gate, up| silu_slope(gate) * up);
    let through_gate = zip(&through_gate, upstream, |slope, dy| slope * dy);
    (through_gate, zip(gate, upstream, |gate, dy| silu(gate) * dy))
}

fn map(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(out, x)| {
        vectorised(
            #[inline(always)]
            || out.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x)),
        );
    });
    out
}

fn zip(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut out = vec![0.0; a.len()];
    out.par_chunks_mut(BLOCK).zip(a.par_chunks(BLOCK).zip(b.par_chunks(BLOCK))).for_each(|(out, (a, b))| {
        vectorised(
            #[inline(always)]
            || out.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (&a, &b))| *y = f(a, b)),
        );
    });
    out
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

/// `sqrt(2 / π)`, doubled: `(1 + tanh(u)) / 2` is the logistic function of `2 u`.
const SCALE: f32 = 1.595_769_2;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    x * sigmoid(SCALE * x * (CUBIC * x).mul_add(x, 1.0))
}

#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    let s = sigmoid(SCALE * x * (CUBIC * x).mul_add(x, 1.0));
    s + x * s * (1.0 - s) * SCALE * (3.0 * CUBIC * x).mul_add(x, 1.0)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * normal(x)
}

#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    normal(x) + x * exp(-0.5 * x * x) * 0.398_942_3
}

/// The standard normal distribution function with an error below 1e-7 (Abramowitz & Stegun 1964, formula 7.1.26, of the
/// error function).
#[inline(always)]
fn normal(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (0.327_591_1 * z + 1.0);
    let mut p = 1.061_405_4_f32;
    p = p.mul_add(t, -1.453_152_1);
    p = p.mul_add(t, 1.421_413_7);
    p = p.mul_add(t, -0.284_496_72);
    p = p.mul_add(t, 0.254_829_6);
    let tail = 0.5 * p * t * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The functions as they are defined, in f64.
    fn defined(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
            }
            Activation::Gelu => {
                // The integral of the normal density, by Simpson's rule.
                let steps = 4000;
                let h = x / f64::from(steps);
                let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
                let inner = |i: i32| f64::from(2 + 2 * (i % 2)) * density(h * f64::from(i));
                let integral: f64 = density(0.0) + (1..steps).map(inner).sum::<f64>() + density(x);
                x * (0.5 + integral * h / 3.0)
            }
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Relu => x.max(0.0),
        }
    }

    #[test]
    fn activations_and_their_slopes_are_right() {
        for activation in [Activation::GeluTanh, Activation::Gelu, Activation::Silu, Activation::Relu] {
            for i in -119..120 {
                // As single precision holds it.
                let x = f64::from((f64::from(i) * 0.1 + 0.03) as f32);
                let got = f64::from(activation.apply(&[x as f32])[0]);
                let want = defined(activation, x);
                assert!((got - want).abs() < 1e-6 * x.abs().max(1.0), "{activation:?}({x}) = {got} instead of {want}");
                let slope = (defined(activation, x + 1e-4) - defined(activation, x - 1e-4)) / 2e-4;
                let got = f64::from(activation.gradient(&[x as f32], &[1.0])[0]);
                assert!((got - slope).abs() < 2e-6, "{activation:?}'({x}) = {got} instead of {slope}");
            }
        }
    }
}
