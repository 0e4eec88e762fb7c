//! GPT-2 (Radford et al. 2019): learnt positions, layer norm before each block, one fused projection for q, k and v.

use burn::module::Module;
use burn::nn::Embedding;
use burn::tensor::Tensor;

use crate::attention::{attend, attend_joined};
use crate::cache::KvCache;
use crate::config::{Activation, Gpt2Config};
use crate::model::Input;
use crate::nn::{LayerNorm, Linear, embedding};
use crate::weights::Builder;

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
            ln_1: LayerNorm::new(builder, &format!("h.{i}.ln_1"), width, epsilon),
            attn: Attention {
                c_attn: Linear::new(builder, &format!("h.{i}.attn.c_attn"), width, 3 * width, 0.02),
                c_proj: Linear::new(builder, &format!("h.{i}.attn.c_proj"), width, width, residual),
                heads: config.n_head,
            },
            ln_2: LayerNorm::new(builder, &format!("h.{i}.ln_2"), width, epsilon),
            mlp: Mlp {
                c_fc: Linear::new(builder, &format!("h.{i}.mlp.c_fc"), width, inner, 0.02),
                c_proj: Linear::new(builder, &format!("h.{i}.mlp.c_proj"), inner, width, residual),
                activation: config.activation_function,
            },
        };
        Self {
            wte: embedding(builder, "wte", config.vocab_size, width, 0.02),
            wpe: embedding(builder, "wpe", config.n_positions, width, 0.01),
            h: (0..config.n_layer).map(|i| block(builder, i)).collect(),
            ln_f: LayerNorm::new(builder, "ln_f", width, epsilon),
            lm_head: (!config.tie_word_embeddings)
                .then(|| embedding(builder, "lm_head", config.vocab_size, width, 0.02)),
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

    /// The output projection `[vocabulary, width]`.
    pub fn output(&self) -> Tensor<2> {
        self.lm_head.as_ref().unwrap_or(&self.wte).weight.val()
    }
}

impl Block {
    fn forward(&self, x: Tensor<3>, layer: usize, input: &Input, cache: Option<&mut KvCache>) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.ln_1.forward(x), layer, input, cache);
        x.clone() + self.mlp.forward(self.ln_2.forward(x))
    }
}

impl Attention {
    fn forward(&self, x: Tensor<3>, layer: usize, input: &Input, cache: Option<&mut KvCache>) -> Tensor<3> {
        let [rows, length, width] = x.dims();
        let qkv = self.c_attn.forward(x);
        let Some(cache) = cache else { return self.c_proj.forward(attend_joined(qkv, self.heads, &input.mask)) };
        let heads = |part: usize| {
            (qkv.clone().narrow(2, part * width, width))
                .reshape([rows, length, self.heads, width / self.heads])
                .swap_dims(1, 2)
        };
        let (query, key, value) = (heads(0), heads(1), heads(2));
        let (key, value) = cache.append(layer, key, value);
        let mixed = attend(query, key, value, &input.mask);
        self.c_proj.forward(mixed.swap_dims(1, 2).reshape([rows, length, width]))
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.c_proj.forward(self.activation.apply(self.c_fc.forward(x)))
    }
}
