//! GPT-2 (Radford et al. 2019): learnt positions, layer norm before each block, one fused projection for q, k and v.

use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::attention::attend;
use crate::cache::KvCache;
use crate::config::{Activation, EndOfSequence, default_true};
use crate::model::Input;
use crate::nn::{Embedding, Linear, layer_norm};
use crate::weights::Builder;

/// The field names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpt2Config {
    pub vocab_size: usize,
    /// Longest sequence, in tokens: there is one learnt embedding per position.
    pub n_positions: usize,
    /// Width of the hidden states.
    pub n_embd: usize,
    pub n_layer: usize,
    pub n_head: usize,
    /// Width of the feed-forward layer; four times `n_embd` where missing.
    #[serde(default)]
    pub n_inner: Option<usize>,
    #[serde(default)]
    pub activation_function: Activation,
    #[serde(default = "default_epsilon")]
    pub layer_norm_epsilon: f64,
    #[serde(default = "default_true")]
    pub tie_word_embeddings: bool,
    #[serde(default)]
    pub eos_token_id: Option<EndOfSequence>,
    /// Whether scores are divided by the root of the head's width.
    #[serde(default = "default_true")]
    pub scale_attn_weights: bool,
    /// Whether scores are divided by the layer's number, too.
    #[serde(default)]
    pub scale_attn_by_inverse_layer_idx: bool,
}

fn default_epsilon() -> f64 {
    1e-5
}

impl Gpt2Config {
    /// A model of a given shape with GPT-2's own defaults for everything else.
    pub fn new(vocab_size: usize, n_positions: usize, n_embd: usize, n_layer: usize, n_head: usize) -> Self {
        Self {
            vocab_size,
            n_positions,
            n_embd,
            n_layer,
            n_head,
            n_inner: None,
            activation_function: Activation::default(),
            layer_norm_epsilon: default_epsilon(),
            tie_word_embeddings: true,
            eos_token_id: None,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
        }
    }

    pub(crate) fn unsupported(&self) -> Option<String> {
        if self.n_head == 0 || !self.n_embd.is_multiple_of(self.n_head) {
            return Some(format!("`n_embd` ({}) is no multiple of `n_head` ({})", self.n_embd, self.n_head));
        }
        if self.vocab_size == 0 || self.n_positions == 0 || self.n_embd == 0 {
            return Some("`vocab_size`, `n_positions` and `n_embd` must be positive".into());
        }
        None
    }

    pub(crate) fn parameters(&self) -> u64 {
        let (width, inner) = (self.n_embd, self.n_inner.unwrap_or(4 * self.n_embd));
        let embeddings = if self.tie_word_embeddings { 1 } else { 2 } * self.vocab_size * width;
        let attention = 4 * width * width + 4 * width;
        let feed_forward = 2 * width * inner + inner + width;
        let norms = 4 * width;
        let layers = self.n_layer * (attention + feed_forward + norms);
        (embeddings + self.n_positions * width + layers + 2 * width) as u64
    }

    /// What a layer's scores are multiplied with beyond the usual division by the root of the head's width.
    fn score_factor(&self, layer: usize) -> f64 {
        let head = (self.n_embd / self.n_head) as f64;
        let root = if self.scale_attn_weights { 1.0 } else { head.sqrt() };
        if self.scale_attn_by_inverse_layer_idx { root / (layer + 1) as f64 } else { root }
    }
}

/// The transformer without its output projection. Field names are the checkpoint's.
#[derive(Module, Debug)]
pub struct Gpt2 {
    /// Token embeddings `[vocabulary, width]`, also the output projection where tied.
    pub wte: Embedding,
    /// Position embeddings `[context, width]`.
    pub wpe: Embedding,
    pub h: Vec<Block>,
    pub ln_f: LayerNorm,
    /// `[vocabulary, width]`, where it isn't tied to `wte`.
    pub lm_head: Option<Embedding>,
}

/// One layer: attention, then feed-forward, each behind a layer norm and added to the residual stream.
#[derive(Module, Debug)]
pub struct Block {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct Attention {
    c_attn: Linear,
    c_proj: Linear,
    #[module(skip)]
    heads: usize,
    /// See [`Gpt2Config::score_factor`].
    #[module(skip)]
    factor: f64,
}

#[derive(Module, Debug)]
struct Mlp {
    c_fc: Linear,
    c_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Gpt2 {
    pub(crate) fn new(config: &Gpt2Config, builder: &mut Builder<'_>) -> Self {
        let width = config.n_embd;
        let inner = config.n_inner.unwrap_or(4 * width);
        let epsilon = config.layer_norm_epsilon;
        // Radford et al. 2019, section 2.3: projections into the residual stream start smaller, by 1/√N for N of them.
        let residual = 0.02 / (2.0 * config.n_layer as f32).sqrt();
        let block = |builder: &mut Builder<'_>, i: usize| Block {
            ln_1: layer_norm(builder, &format!("h.{i}.ln_1"), width, epsilon),
            attn: Attention {
                c_attn: Linear::conv1d(builder, &format!("h.{i}.attn.c_attn"), [width, 3 * width], 0.02),
                c_proj: Linear::conv1d(builder, &format!("h.{i}.attn.c_proj"), [width, width], residual),
                heads: config.n_head,
                factor: config.score_factor(i),
            },
            ln_2: layer_norm(builder, &format!("h.{i}.ln_2"), width, epsilon),
            mlp: Mlp {
                c_fc: Linear::conv1d(builder, &format!("h.{i}.mlp.c_fc"), [width, inner], 0.02),
                c_proj: Linear::conv1d(builder, &format!("h.{i}.mlp.c_proj"), [inner, width], residual),
                activation: config.activation_function,
            },
        };
        let (wte, lm_head) = Embedding::with_output(
            builder,
            ["wte", "lm_head"],
            [config.vocab_size, width],
            config.tie_word_embeddings,
            0.02,
        );
        Self {
            wte,
            wpe: Embedding::new(builder, "wpe", config.n_positions, width, 0.01),
            h: (0..config.n_layer).map(|i| block(builder, i)).collect(),
            ln_f: layer_norm(builder, "ln_f", width, epsilon),
            lm_head,
        }
    }

    /// Hidden states `[rows, width, embedding]` of `input`; new keys and values go into `cache`.
    pub fn hidden(&self, input: &Input, mut cache: Option<&mut KvCache>) -> Tensor<3> {
        let mut x = self.wte.forward(input.ids.clone()) + self.wpe.forward(input.positions.clone());
        for (i, block) in self.h.iter().enumerate() {
            x = block.forward(x, i, input, cache.as_deref_mut());
        }
        if let Some(cache) = cache {
            cache.advance(input.ids.dims()[1]);
        }
        self.ln_f.forward(x)
    }

    /// The output projection, one vector per token.
    pub fn output(&self) -> &Embedding {
        self.lm_head.as_ref().unwrap_or(&self.wte)
    }

    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        self.h.iter_mut().enumerate().flat_map(|(i, block)| block.linears_mut(&format!("h.{i}"))).collect()
    }

    pub(crate) fn embeddings_mut(&mut self) -> Vec<(String, &mut Embedding)> {
        let output = self.lm_head.as_mut().map(|output| ("lm_head".to_owned(), output));
        [("wte".to_owned(), &mut self.wte)].into_iter().chain(output).collect()
    }
}

impl Block {
    fn forward(&self, x: Tensor<3>, layer: usize, input: &Input, cache: Option<&mut KvCache>) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.ln_1.forward(x), layer, input, cache);
        x.clone() + self.mlp.forward(self.ln_2.forward(x), input)
    }

    fn linears_mut(&mut self, name: &str) -> Vec<(String, &mut Linear)> {
        vec![
            (format!("{name}.attn.c_attn"), &mut self.attn.c_attn),
            (format!("{name}.attn.c_proj"), &mut self.attn.c_proj),
            (format!("{name}.mlp.c_fc"), &mut self.mlp.c_fc),
            (format!("{name}.mlp.c_proj"), &mut self.mlp.c_proj),
        ]
    }
}

impl Attention {
    fn forward(&self, x: Tensor<3>, layer: usize, input: &Input, cache: Option<&mut KvCache>) -> Tensor<3> {
        let [rows, length, width] = x.dims();
        let qkv = self.c_attn.forward(x, input.noise());
        let heads = |part: usize| {
            (qkv.clone().narrow(2, part * width, width))
                .reshape([rows, length, self.heads, width / self.heads])
                .swap_dims(1, 2)
        };
        let (query, key, value) = (heads(0), heads(1), heads(2));
        let query = if self.factor == 1.0 { query } else { query.mul_scalar(self.factor) };
        let (key, value) = match cache {
            Some(cache) => cache.append(layer, key, value),
            None => (key, value),
        };
        let mixed = attend(query, key, value, &input.mask);
        self.c_proj.forward(mixed.swap_dims(1, 2).reshape([rows, length, width]), input.noise())
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>, input: &Input) -> Tensor<3> {
        self.c_proj.forward(self.activation.apply(self.c_fc.forward(x, input.noise())), input.noise())
    }
}
