//! The layers that all architectures are made of.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Device, Tensor};

use crate::config::Activation;
use crate::fused::{self, linear};
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

/// Layer norm (Ba et al. 2016) over the last dimension.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`
    weight: Param<Tensor<1>>,
    /// `[width]`
    bias: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, width: usize, epsilon: f64) -> Self {
        Self {
            weight: builder.param(&format!("{name}.weight"), [width], Init::Ones),
            bias: builder.param(&format!("{name}.bias"), [width], Init::Zeros),
            epsilon,
        }
    }

    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        fused::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
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
        let activation = match self {
            Self::GeluTanh => fused::Activation::GeluTanh,
            Self::Gelu => fused::Activation::Gelu,
            Self::Silu => fused::Activation::Silu,
            Self::Relu => fused::Activation::Relu,
        };
        fused::activate(x, activation)
    }
}
