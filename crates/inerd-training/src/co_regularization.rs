//! Co-Regularization (Zhou & Chen 2021, "Learning from Noisy Labels for Entity-Centric Information Extraction",
//! section 3): copies of a model that begin differently are trained together and pulled towards their agreement.
//!
//! With `p_k` the distribution of copy `k` of `M` at a position that has a choice, and `q = 1/M Σ p_k` *held constant*,
//!
//! ```text
//! loss = 1/M Σ_k cross-entropy(p_k, gold) + α · 1/M Σ_k KL(q ‖ p_k),    KL(q ‖ p) = Σ_t q(t) (ln q(t) - ln p(t))
//! ```
//!
//! each term a mean over its positions, and α = 0 in the first steps, while the copies know nothing to agree on. `t` runs
//! over the tokens that the task allows at the position: over a whole vocabulary, what the copies say of impossible
//! tokens would drown what they say of the possible ones. Copy 0 is the model that is used afterwards.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use inerd_lm::{Decoder, LanguageModel, Noise, random};
use rand_distr::{Distribution as _, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::example::{Example, Packed};
use crate::loss::{cross_entropy, distributions, hidden, targets};
use crate::settings::Loss;

/// How much the copies are pulled together, and from when on. How many there are, the caller decides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CoRegularization {
    /// Weight of the mean divergence, α.
    pub alpha: f64,
    /// Share of all steps before it counts, 0 to 1.
    pub warmup: f64,
}

impl CoRegularization {
    /// α at a step (0-based) of `total` steps.
    pub fn alpha_at(&self, step: usize, total: usize) -> f64 {
        if (step as f64) < self.warmup * total as f64 { 0.0 } else { self.alpha }
    }
}

/// `Σ mean_k KL(q ‖ p_k)` in nats over the rows of the copies' log-probabilities, `[rows, tokens]` each (of at least one
/// copy), with `q` their mean. `q` is a constant: no gradient flows through it.
///
/// A token that is impossible for all copies (log-probability far below zero) has no share in it.
pub fn divergence(log_probabilities: Vec<Tensor<2>>) -> Tensor<1> {
    let copies = log_probabilities.len() as f32;
    let log_p: Tensor<3> = Tensor::stack(log_probabilities, 0);
    let q = log_p.clone().detach().exp().mean_dim(0);
    // 0 · ln 0 is 0.
    let log_q = q.clone().clamp_min(f32::MIN_POSITIVE).log();
    (q * (log_q - log_p)).sum().div_scalar(copies)
}

/// What one copy makes of the answers of some examples.
pub(crate) struct Answers {
    /// Summed over the counted tokens, in nats.
    pub(crate) cross_entropy: Tensor<1>,
    /// Log-probabilities `[choices, tokens]` at the positions with a choice, over what is allowed there; in as many parts
    /// for every copy.
    pub(crate) choices: Vec<Tensor<2>>,
}

/// The cross-entropy of the answers as [`crate::response_loss`] counts it, and the distributions at every choice. `None`
/// where nothing is counted.
pub(crate) fn answers(
    decoder: &Decoder,
    examples: &[&Example],
    packed: &Packed,
    loss: Loss,
    noise: Option<Noise>,
    device: &Device,
) -> Option<Answers> {
    let counted = targets(examples, packed, loss);
    if counted.is_empty() {
        return None;
    }
    let hidden = hidden(decoder, packed, noise, device);
    let choices = distributions(decoder, &hidden, &targets(examples, packed, Loss::Allowed), device);
    Some(Answers { cross_entropy: cross_entropy(decoder, &hidden, &counted, device), choices })
}

/// A copy that begins elsewhere: every parameter that is trained gets normal noise, with `noise` times the standard
/// deviation of the parameter's own values. For copies of what is trained already, which would begin equal, and stay so.
pub fn perturbed(model: &LanguageModel, noise: f64, seed: u64) -> LanguageModel {
    let mut trained = Trained::default();
    model.decoder.clone().train().visit(&mut trained);
    model.with_decoder(model.decoder.clone().map(&mut Perturb { noise, seed, trained: trained.0 }))
}

/// The identities of the parameters that aren't frozen.
#[derive(Default)]
struct Trained(BTreeSet<u64>);

impl ModuleVisitor for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            self.0.insert(param.id.val());
        }
    }
}

struct Perturb {
    noise: f64,
    seed: u64,
    trained: BTreeSet<u64>,
}

impl ModuleMapper for Perturb {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.trained.contains(&param.id.val()) {
            return param;
        }
        let mut rng = random::stream(self.seed, &format!("noise on parameter {}", param.id.val()));
        let noise = self.noise;
        param.map(|values| {
            let (shape, device) = (values.dims(), values.device());
            let mut values: Vec<f32> = values.into_data().iter::<f32>().collect();
            let count = values.len().max(1) as f64;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
            let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
            let deviation = (noise * variance.sqrt()) as f32;
            for value in &mut values {
                let draw: f32 = StandardNormal.sample(&mut rng);
                *value += deviation * draw;
            }
            Tensor::from_data(TensorData::new(values, shape), &device)
        })
    }
}

/// Gives the parameters of a copy identities of their own, so that one optimiser keeps all copies apart. Copy 0 keeps
/// those it has.
pub(crate) fn with_own_identities(decoder: Decoder, copy: usize) -> Decoder {
    struct Rename(u64);
    impl ModuleMapper for Rename {
        fn map_float<const D: usize>(&mut self, mut param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            // A bijection of the identities of one copy; two copies collide with the chance that two hashes do.
            param.id = ParamId::from(param.id.val().wrapping_add(self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            param
        }
    }
    if copy == 0 { decoder } else { decoder.map(&mut Rename(copy as u64)) }
}
