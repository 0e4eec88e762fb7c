//! Rotary position embeddings (Su et al. 2021) and the ways in which they are stretched to longer contexts.
//!
//! A head's first `rotated` values are pairs `(x[i], x[i + rotated / 2])`, turned by the angle position · ω(i) with
//! ω(i) = θ^(-2i / rotated). The scalings change ω: all of it (linear), θ with the length of the input (dynamic), or
//! low frequencies more than high ones (`YaRN`, Llama 3).

use std::f64::consts::TAU;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// `rope_parameters` of `config.json`; before transformers 5 `rope_scaling`, with θ beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeParameters {
    #[serde(default, alias = "type", skip_serializing_if = "Option::is_none")]
    pub rope_type: Option<String>,
    /// θ
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// Share of a head's width that is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_rotary_factor: Option<f64>,
    /// How many times longer the context gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_max_position_embeddings: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attention_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta_fast: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta_slow: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mscale: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mscale_all_dim: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truncate: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low_freq_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high_freq_factor: Option<f64>,
}

/// How ω is changed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scaling {
    None,
    /// ω / factor
    Linear {
        factor: f64,
    },
    /// θ grows with the length of an input beyond the trained context.
    Dynamic {
        factor: f64,
    },
    /// Peng et al. 2023, section 3: fast pairs stay, slow ones are divided, those between are mixed.
    Yarn {
        factor: f64,
        original: f64,
        fast: f64,
        slow: f64,
        truncate: bool,
    },
    /// Llama 3.1: the same idea with borders on the wavelength.
    Llama3 {
        factor: f64,
        original: f64,
        low: f64,
        high: f64,
    },
}

/// The rotary embedding of one model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rotary {
    /// Values of a head that are rotated. Of an odd number the last one makes a pair, too, as in transformers.
    rotated: usize,
    theta: f64,
    scaling: Scaling,
    /// What cosines and sines are multiplied with (`YaRN`'s attention temperature).
    attention: f64,
    /// The trained context.
    context: usize,
}

/// Where a configuration keeps what concerns rotary embeddings.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) parameters: Option<&'a RopeParameters>,
    pub(crate) theta: Option<f64>,
    /// Share of the head's width that is rotated, unless the parameters say otherwise.
    pub(crate) share: f64,
    pub(crate) head_width: usize,
    pub(crate) context: usize,
}

impl Rotary {
    /// An error names the setting that isn't supported or is missing.
    pub(crate) fn new(source: &Source<'_>) -> Result<Self, String> {
        let none = RopeParameters::default();
        let p = source.parameters.unwrap_or(&none);
        let kind = p.rope_type.as_deref().unwrap_or("default");
        let needed = |value: Option<f64>, name: &str| {
            value.filter(|v| *v > 0.0).ok_or_else(|| format!("rope scaling `{kind}` needs a positive `{name}`"))
        };
        let context = source.context as f64;
        let original = p.original_max_position_embeddings.unwrap_or(context);
        let mut attention = 1.0;
        let scaling = match kind {
            "default" => Scaling::None,
            "linear" => Scaling::Linear { factor: needed(p.factor, "factor")? },
            "dynamic" => Scaling::Dynamic { factor: needed(p.factor, "factor")? },
            "llama3" => Scaling::Llama3 {
                factor: needed(p.factor, "factor")?,
                original,
                low: needed(p.low_freq_factor, "low_freq_factor")?,
                high: needed(p.high_freq_factor, "high_freq_factor")?,
            },
            "yarn" => {
                let factor = p.factor.unwrap_or(context / original);
                // Peng et al. 2023, equation 22; two temperatures make a ratio (DeepSeek-AI 2024).
                let temperature = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
                attention = p.attention_factor.unwrap_or_else(|| match (p.mscale, p.mscale_all_dim) {
                    (Some(m), Some(all)) if m != 0.0 && all != 0.0 => temperature(m) / temperature(all),
                    _ => temperature(1.0),
                });
                let (fast, slow) = (p.beta_fast.unwrap_or(32.0), p.beta_slow.unwrap_or(1.0));
                Scaling::Yarn { factor, original, fast, slow, truncate: p.truncate.unwrap_or(true) }
            }
            other => return Err(format!("rope scaling `{other}` is not supported")),
        };
        let share = p.partial_rotary_factor.unwrap_or(source.share);
        let rotated = (source.head_width as f64 * share) as usize;
        if rotated == 0 || 2 * rotated.div_ceil(2) > source.head_width {
            return Err(format!("{rotated} values are to be rotated in heads of width {}", source.head_width));
        }
        let theta = p.rope_theta.or(source.theta).unwrap_or(10_000.0);
        Ok(Self { rotated, theta, scaling, attention, context: source.context })
    }

    /// Longest sequence that the scaling is meant for.
    pub(crate) fn longest(&self) -> usize {
        let (factor, original) = match self.scaling {
            Scaling::None => return self.context,
            Scaling::Linear { factor } | Scaling::Dynamic { factor } => (factor, self.context as f64),
            Scaling::Yarn { factor, original, .. } | Scaling::Llama3 { factor, original, .. } => (factor, original),
        };
        self.context.max((factor * original).round() as usize)
    }

    /// ω of each pair, for inputs of up to `length` tokens.
    fn frequencies(&self, length: usize) -> Vec<f64> {
        let width = self.rotated as f64;
        let pairs = self.rotated.div_ceil(2);
        let plain = |theta: f64| (0..pairs).map(move |i| theta.powf(-2.0 * i as f64 / width));
        match self.scaling {
            Scaling::None => plain(self.theta).collect(),
            Scaling::Linear { factor } => plain(self.theta).map(|w| w / factor).collect(),
            Scaling::Dynamic { factor } => {
                let times = length.max(self.context) as f64 / self.context as f64;
                let stretch = factor * times - (factor - 1.0);
                plain(self.theta * stretch.powf(width / (width - 2.0))).collect()
            }
            Scaling::Yarn { factor, original, fast, slow, truncate } => {
                // The pair that turns `rotations` times over the trained context.
                let pair = |rotations: f64| width * (original / (rotations * TAU)).ln() / (2.0 * self.theta.ln());
                let (low, high) = (pair(fast), pair(slow));
                let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
                let (low, high) = (low.max(0.0), high.min(width - 1.0));
                let high = if low == high { high + 0.001 } else { high };
                let mix = |(i, w): (usize, f64)| {
                    let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    w / factor * ramp + w * (1.0 - ramp)
                };
                plain(self.theta).enumerate().map(mix).collect()
            }
            Scaling::Llama3 { factor, original, low, high } => {
                let scale = |w: f64| {
                    // How often the pair turns over the trained context.
                    let rotations = original * w / TAU;
                    if rotations < low {
                        w / factor
                    } else if rotations > high {
                        w
                    } else {
                        let smooth = (rotations - low) / (high - low);
                        (1.0 - smooth) * w / factor + smooth * w
                    }
                };
                plain(self.theta).map(scale).collect()
            }
        }
    }

    /// Cosines and sines for `positions` `[rows, width]`, all of them below `length`.
    pub(crate) fn angles(&self, positions: &Tensor<2, Int>, length: usize, device: &Device) -> Angles {
        let frequencies: Vec<f32> = self.frequencies(length).into_iter().map(|w| w as f32).collect();
        let pairs = frequencies.len();
        let frequencies = Tensor::<4>::from_data(TensorData::new(frequencies, [1, 1, 1, pairs]), device);
        let [rows, width] = positions.dims();
        let angles = positions.clone().float().reshape([rows, 1, width, 1]) * frequencies;
        let scaled = |x: Tensor<4>| if self.attention == 1.0 { x } else { x.mul_scalar(self.attention) };
        Angles { cos: scaled(angles.clone().cos()), sin: scaled(angles.sin()), pairs }
    }
}

/// Cosines and sines of the angles, `[rows, 1, width, pairs]` each: the same in every layer and head.
#[derive(Debug)]
pub(crate) struct Angles {
    cos: Tensor<4>,
    sin: Tensor<4>,
    pairs: usize,
}

impl Angles {
    /// Turns the pairs of queries or keys `[rows, heads, width, head width]`; values beyond the pairs stay.
    pub(crate) fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, _, head] = x.dims();
        let part = |from: usize, count: usize| x.clone().narrow(3, from, count);
        let (first, second) = (part(0, self.pairs), part(self.pairs, self.pairs));
        let mut parts = vec![
            first.clone() * self.cos.clone() - second.clone() * self.sin.clone(),
            second * self.cos.clone() + first * self.sin.clone(),
        ];
        if head > 2 * self.pairs {
            parts.push(part(2 * self.pairs, head - 2 * self.pairs));
        }
        Tensor::cat(parts, 3)
    }
}
