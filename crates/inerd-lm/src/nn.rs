//! The layers that all architectures are made of.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor};

use crate::config::Activation;
use crate::weights::{Builder, Init};

/// A dense layer `y = x W + b` with the weight kept as `[inputs, outputs]`, as GPT-2's checkpoints store it.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// `[inputs, outputs]`
    pub(crate) weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub(crate) bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, inputs: usize, outputs: usize, deviation: f32) -> Self {
        Self {
            weight: builder.param(&format!("{name}.weight"), [inputs, outputs], Init::Normal(deviation)),
            bias: Some(builder.param(&format!("{name}.bias"), [outputs], Init::Zeros)),
        }
    }

    /// `[…, inputs]` to `[…, outputs]`.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

pub(crate) fn layer_norm(builder: &mut Builder<'_>, name: &str, width: usize, epsilon: f64) -> LayerNorm {
    // The config only shapes the layer (on the CPU, cheaply); its parameters are replaced at once.
    let mut norm = LayerNormConfig::new(width).with_epsilon(epsilon).init(&Device::flex());
    norm.gamma = builder.param(&format!("{name}.weight"), [width], Init::Ones);
    norm.beta = Some(builder.param(&format!("{name}.bias"), [width], Init::Zeros));
    norm
}

pub(crate) fn embedding(
    builder: &mut Builder<'_>,
    name: &str,
    count: usize,
    width: usize,
    deviation: f32,
) -> Embedding {
    let mut embedding = EmbeddingConfig::new(1, 1).init(&Device::flex());
    embedding.weight = builder.param(&format!("{name}.weight"), [count, width], Init::Normal(deviation));
    embedding
}

impl Activation {
    pub(crate) fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        use burn::tensor::activation::{gelu, gelu_approximate, relu, silu};
        match self {
            Self::GeluTanh => gelu_approximate(x),
            Self::Gelu => gelu(x),
            Self::Silu => silu(x),
            Self::Relu => relu(x),
        }
    }
}
