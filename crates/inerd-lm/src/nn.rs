//! The layers that all architectures are made of.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, RmsNorm, RmsNormConfig};
use burn::tensor::module::linear;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use crate::config::Activation;
use crate::dropout::Noise;
use crate::lora::LowRank;
use crate::weights::{Builder, Init};

/// A dense layer `y = x W + b`, with a low-rank adapter where it has one.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`, or its transpose: as the checkpoint stores it.
    pub(crate) weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub(crate) bias: Option<Param<Tensor<1>>>,
    pub(crate) adapter: Option<LowRank>,
    #[module(skip)]
    layout: Layout,
}

/// How a checkpoint lays out a dense layer's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `[inputs, outputs]`: GPT-2's `Conv1D`.
    InputsFirst,
    /// `[outputs, inputs]`: `torch.nn.Linear`.
    OutputsFirst,
}

impl Linear {
    /// A layer with its weight as `[outputs, inputs]`; fresh weights are normal with standard deviation `deviation`.
    pub(crate) fn new(
        builder: &mut Builder<'_>,
        name: &str,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        deviation: f32,
    ) -> Self {
        Self::with_layout(builder, name, [inputs, outputs], bias, deviation, Layout::OutputsFirst)
    }

    /// A layer with a bias and its weight as `[inputs, outputs]`.
    pub(crate) fn conv1d(builder: &mut Builder<'_>, name: &str, shape: [usize; 2], deviation: f32) -> Self {
        Self::with_layout(builder, name, shape, true, deviation, Layout::InputsFirst)
    }

    fn with_layout(
        builder: &mut Builder<'_>,
        name: &str,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        deviation: f32,
        layout: Layout,
    ) -> Self {
        let shape = match layout {
            Layout::InputsFirst => [inputs, outputs],
            Layout::OutputsFirst => [outputs, inputs],
        };
        Self {
            weight: builder.param(&format!("{name}.weight"), shape, Init::Normal(deviation)),
            bias: bias.then(|| builder.param(&format!("{name}.bias"), [outputs], Init::Zeros)),
            adapter: None,
            layout,
        }
    }

    /// `[…, inputs]` to `[…, outputs]`. `noise` is the adapter's dropout in training.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>, noise: Option<&Noise>) -> Tensor<D> {
        let weight = match self.layout {
            Layout::InputsFirst => self.weight.val(),
            Layout::OutputsFirst => self.weight.val().transpose(),
        };
        let bias = self.bias.as_ref().map(Param::val);
        match &self.adapter {
            None => linear(x, weight, bias),
            Some(adapter) => linear(x.clone(), weight, bias) + adapter.forward(x, noise),
        }
    }

    /// `[inputs, outputs]`
    pub(crate) fn shape(&self) -> [usize; 2] {
        let [first, second] = self.weight.dims();
        match self.layout {
            Layout::InputsFirst => [first, second],
            Layout::OutputsFirst => [second, first],
        }
    }

    /// Whether the weight is stored as `[inputs, outputs]`.
    pub(crate) fn inputs_first(&self) -> bool {
        self.layout == Layout::InputsFirst
    }

    /// Adds the adapter's product to the weight, and is without an adapter afterwards.
    pub(crate) fn merge(&mut self) {
        let Some(adapter) = self.adapter.take() else { return };
        let update = adapter.product();
        let update = match self.layout {
            Layout::InputsFirst => update.transpose(),
            Layout::OutputsFirst => update,
        };
        self.weight = self.weight.clone().map(|weight| weight + update);
    }
}

/// A table of vectors, one per token. Some of its rows may be trained while the rest is frozen.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[tokens, width]`
    pub weight: Param<Tensor<2>>,
    pub(crate) trained: Option<TrainedRows>,
}

/// Rows of an embedding that are trained in place of those in its table.
#[derive(Module, Debug)]
pub(crate) struct TrainedRows {
    /// `[trained tokens, width]`
    pub(crate) rows: Param<Tensor<2>>,
    #[module(skip)]
    pub(crate) tokens: Vec<u32>,
}

impl Embedding {
    pub(crate) fn new(builder: &mut Builder<'_>, name: &str, count: usize, width: usize, deviation: f32) -> Self {
        let weight = builder.param(&format!("{name}.weight"), [count, width], Init::Normal(deviation));
        Self { weight, trained: None }
    }

    /// An input embedding and the output projection, which is another matrix unless they are tied. A checkpoint may
    /// keep a tied matrix under either name.
    pub(crate) fn with_output(
        builder: &mut Builder<'_>,
        [input, output]: [&str; 2],
        shape: [usize; 2],
        tied: bool,
        deviation: f32,
    ) -> (Self, Option<Self>) {
        let names = [format!("{input}.weight"), format!("{output}.weight")];
        let [first, second] = [names[0].as_str(), names[1].as_str()];
        let new = |weight| Self { weight, trained: None };
        if tied {
            return (new(builder.param_under(&[first, second], shape, Init::Normal(deviation))), None);
        }
        let mut one = |name: &str| new(builder.param(name, shape, Init::Normal(deviation)));
        (one(first), Some(one(second)))
    }

    /// The vectors of token ids `[rows, width]`, `[rows, width, embedding]`.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [rows, width] = ids.dims();
        let vectors = self.rows(ids.reshape([rows * width]));
        let [_, embedding] = vectors.dims();
        vectors.reshape([rows, width, embedding])
    }

    /// The vectors of token ids `[tokens]`, `[tokens, embedding]`.
    pub fn rows(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        let vectors = self.weight.val().select(0, ids.clone());
        let Some(trained) = &self.trained else { return vectors };
        // One-hot over the trained tokens: `[tokens, trained tokens]`.
        let chosen =
            ids.unsqueeze_dim::<2>(1).equal(indices(&trained.tokens, &vectors.device()).unsqueeze_dim(0)).float();
        let others = chosen.clone().sum_dim(1).neg().add_scalar(1.0);
        vectors * others + chosen.matmul(trained.rows.val())
    }

    /// Scores `[…, tokens]` of hidden states `[…, embedding]`: their products with every vector.
    pub(crate) fn scores<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        let scores = linear(hidden.clone(), self.weight.val().transpose(), None);
        let Some(trained) = &self.trained else { return scores };
        // What the trained rows change, added to their columns: the table itself needs no gradient.
        let tokens = indices(&trained.tokens, &hidden.device());
        let change = trained.rows.val() - self.weight.val().select(0, tokens.clone());
        scores.select_assign(D - 1, tokens, linear(hidden, change.transpose(), None), IndexingUpdateOp::Add)
    }

    /// The whole table with the trained rows in place, `[tokens, embedding]`. Copies it where rows are trained.
    pub(crate) fn table(&self) -> Tensor<2> {
        let table = self.weight.val();
        let Some(trained) = &self.trained else { return table };
        let tokens = indices(&trained.tokens, &table.device());
        let change = trained.rows.val() - table.clone().select(0, tokens.clone());
        table.select_assign(0, tokens, change, IndexingUpdateOp::Add)
    }

    /// Writes the trained rows into the table, and trains none afterwards.
    pub(crate) fn merge(&mut self) {
        if self.trained.is_some() {
            let table = self.table();
            self.trained = None;
            self.weight = self.weight.clone().map(|_| table);
        }
    }
}

/// Token ids as a tensor.
pub(crate) fn indices(tokens: &[u32], device: &Device) -> Tensor<1, Int> {
    let tokens: Vec<i32> = tokens.iter().map(|&t| t as i32).collect();
    let count = tokens.len();
    Tensor::from_data(TensorData::new(tokens, [count]), device)
}

pub(crate) fn layer_norm(builder: &mut Builder<'_>, name: &str, width: usize, epsilon: f64) -> LayerNorm {
    // The config only shapes the layer (on the CPU, cheaply); its parameters are replaced at once.
    let mut norm = LayerNormConfig::new(width).with_epsilon(epsilon).init(&Device::flex());
    norm.gamma = builder.param(&format!("{name}.weight"), [width], Init::Ones);
    norm.beta = Some(builder.param(&format!("{name}.bias"), [width], Init::Zeros));
    norm
}

pub(crate) fn rms_norm(builder: &mut Builder<'_>, name: &str, width: usize, epsilon: f64) -> RmsNorm {
    let mut norm = RmsNormConfig::new(width).with_epsilon(epsilon).init(&Device::flex());
    norm.gamma = builder.param(&format!("{name}.weight"), [width], Init::Ones);
    norm
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
