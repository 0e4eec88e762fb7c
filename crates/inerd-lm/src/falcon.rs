//! Falcon (Almazrouei et al. 2023): rotary positions, few key-value heads, attention and feed-forward side by side.
//!
//! Two generations: the 7B shares one key-value head and one norm; the "new decoder architecture" (40B, 11B) has groups
//! of heads with a key-value head each, and a norm for either branch.

use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::attention::attend;
use crate::cache::KvCache;
use crate::config::{Activation, EndOfSequence, default_deviation, default_true};
use crate::model::Input;
use crate::nn::{Embedding, Linear, layer_norm};
use crate::rotary::{Angles, RopeParameters, Rotary, Source};
use crate::weights::Builder;

/// The field names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the switches of `config.json`")]
pub struct FalconConfig {
    pub vocab_size: usize,
    /// Width of the hidden states.
    #[serde(alias = "n_embed")]
    pub hidden_size: usize,
    #[serde(alias = "n_layer")]
    pub num_hidden_layers: usize,
    #[serde(alias = "n_head")]
    pub num_attention_heads: usize,
    /// Key-value heads of the new decoder architecture.
    #[serde(default, alias = "n_head_kv")]
    pub num_kv_heads: Option<usize>,
    /// Norms in front of the two branches of the new decoder architecture; two where missing.
    #[serde(default)]
    pub num_ln_in_parallel_attn: Option<usize>,
    #[serde(default = "default_epsilon")]
    pub layer_norm_epsilon: f64,
    #[serde(default = "default_deviation")]
    pub initializer_range: f32,
    #[serde(default)]
    pub new_decoder_architecture: bool,
    /// One key-value head for all, where the architecture is the old one.
    #[serde(default = "default_true")]
    pub multi_query: bool,
    /// Attention and feed-forward read the same norm, where the architecture is the old one.
    #[serde(default = "default_true")]
    pub parallel_attn: bool,
    #[serde(default)]
    pub bias: bool,
    /// Positions as a slope on the scores instead of a rotation.
    #[serde(default)]
    pub alibi: bool,
    /// Width of the feed-forward layer; four times `hidden_size` where missing.
    #[serde(default)]
    pub ffn_hidden_size: Option<usize>,
    #[serde(default = "default_activation")]
    pub activation: Activation,
    #[serde(default = "default_context")]
    pub max_position_embeddings: usize,
    #[serde(default = "default_true")]
    pub tie_word_embeddings: bool,
    #[serde(default)]
    pub eos_token_id: Option<EndOfSequence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeParameters>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeParameters>,
}

fn default_activation() -> Activation {
    Activation::Gelu
}

fn default_context() -> usize {
    2048
}

fn default_epsilon() -> f64 {
    1e-5
}

impl FalconConfig {
    /// A model of a given shape in the manner of the 7B.
    pub fn new(vocab_size: usize, context: usize, width: usize, layers: usize, heads: usize) -> Self {
        Self {
            vocab_size,
            hidden_size: width,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_kv_heads: None,
            num_ln_in_parallel_attn: None,
            layer_norm_epsilon: default_epsilon(),
            initializer_range: default_deviation(),
            new_decoder_architecture: false,
            multi_query: true,
            parallel_attn: true,
            bias: false,
            alibi: false,
            ffn_hidden_size: None,
            activation: default_activation(),
            max_position_embeddings: context,
            tie_word_embeddings: true,
            eos_token_id: None,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
        }
    }

    fn rotary(&self) -> Result<Rotary, String> {
        Rotary::new(&Source {
            parameters: self.rope_parameters.as_ref().or(self.rope_scaling.as_ref()),
            theta: self.rope_theta,
            share: 1.0,
            head_width: self.hidden_size / self.num_attention_heads.max(1),
            context: self.max_position_embeddings,
        })
    }

    /// Longest sequence in tokens.
    pub(crate) fn context(&self) -> usize {
        self.rotary().map_or(self.max_position_embeddings, |rotary| rotary.longest())
    }

    /// Heads of keys and values. The projection is laid out in as many groups: some queries, a key, a value.
    fn groups(&self) -> usize {
        match (self.new_decoder_architecture, self.multi_query) {
            (true, _) => self.num_kv_heads.unwrap_or(self.num_attention_heads),
            (false, true) => 1,
            (false, false) => self.num_attention_heads,
        }
    }

    fn norms(&self) -> Norms {
        match (self.new_decoder_architecture, self.num_ln_in_parallel_attn, self.parallel_attn) {
            (true, None | Some(2), _) => Norms::Each,
            (true, Some(_), _) | (false, _, true) => Norms::Shared,
            (false, _, false) => Norms::Sequential,
        }
    }

    fn inner(&self) -> usize {
        self.ffn_hidden_size.unwrap_or(4 * self.hidden_size)
    }

    pub(crate) fn unsupported(&self) -> Option<String> {
        let (width, heads, groups) = (self.hidden_size, self.num_attention_heads, self.groups());
        if self.alibi {
            return Some("`alibi = true` is not supported, only rotary positions".into());
        }
        if self.vocab_size == 0 || width == 0 {
            return Some("`vocab_size` and `hidden_size` must be positive".into());
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            return Some(format!("`hidden_size` ({width}) is no multiple of `num_attention_heads` ({heads})"));
        }
        if groups == 0 || !heads.is_multiple_of(groups) {
            return Some(format!("`num_attention_heads` ({heads}) is no multiple of `num_kv_heads` ({groups})"));
        }
        if self.new_decoder_architecture && !self.parallel_attn {
            return Some("`parallel_attn = false` is not supported with `new_decoder_architecture`".into());
        }
        if let Some(norms) = self.num_ln_in_parallel_attn.filter(|n| ![1, 2].contains(n)) {
            return Some(format!("`num_ln_in_parallel_attn = {norms}` is not supported, only 1 and 2"));
        }
        if !self.new_decoder_architecture && self.parallel_attn && self.num_ln_in_parallel_attn == Some(2) {
            return Some("`num_ln_in_parallel_attn = 2` is not supported without `new_decoder_architecture`".into());
        }
        self.rotary().err()
    }

    pub(crate) fn parameters(&self) -> u64 {
        let (width, inner) = (self.hidden_size, self.inner());
        let qkv = width + 2 * self.groups() * (width / self.num_attention_heads.max(1));
        let biases = if self.bias { qkv + width + inner + width } else { 0 };
        let norms = if self.norms() == Norms::Shared { 2 * width } else { 4 * width };
        let layer = width * qkv + width * width + 2 * width * inner + biases + norms;
        let embeddings = if self.tie_word_embeddings { 1 } else { 2 } * self.vocab_size * width;
        (embeddings + self.num_hidden_layers * layer + 2 * width) as u64
    }
}

/// What attention and feed-forward read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Norms {
    /// Side by side, one norm for both (7B).
    Shared,
    /// Side by side, a norm each (40B).
    Each,
    /// One after the other, a norm each.
    Sequential,
}

/// The transformer. Field names are the checkpoint's.
#[derive(Module, Debug)]
pub struct Falcon {
    /// Token embeddings `[vocabulary, width]`, also the output projection where tied.
    pub word_embeddings: Embedding,
    pub h: Vec<Block>,
    pub ln_f: LayerNorm,
    /// `[vocabulary, width]`, where it isn't tied.
    pub lm_head: Option<Embedding>,
    #[module(skip)]
    rotary: Rotary,
}

#[derive(Module, Debug)]
pub struct Block {
    /// Of [`Norms::Shared`] and [`Norms::Sequential`].
    input_layernorm: Option<LayerNorm>,
    /// Of [`Norms::Sequential`].
    post_attention_layernorm: Option<LayerNorm>,
    /// Of [`Norms::Each`], like `ln_mlp`.
    ln_attn: Option<LayerNorm>,
    ln_mlp: Option<LayerNorm>,
    self_attention: Attention,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct Attention {
    /// `width` to `groups · (heads / groups + 2) · head width`
    query_key_value: Linear,
    dense: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    groups: usize,
}

#[derive(Module, Debug)]
struct Mlp {
    dense_h_to_4h: Linear,
    dense_4h_to_h: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Falcon {
    pub(crate) fn new(config: &FalconConfig, builder: &mut Builder<'_>) -> Result<Self, String> {
        let (width, inner, heads, groups) =
            (config.hidden_size, config.inner(), config.num_attention_heads, config.groups());
        let qkv = width + 2 * groups * (width / heads);
        let norms = config.norms();
        let block = |builder: &mut Builder<'_>, i: usize| {
            let name = |part: &str| format!("h.{i}.{part}");
            let mut norm = |part: &str, used: bool| {
                used.then(|| layer_norm(builder, &name(part), width, config.layer_norm_epsilon))
            };
            let input_layernorm = norm("input_layernorm", norms != Norms::Each);
            let post_attention_layernorm = norm("post_attention_layernorm", norms == Norms::Sequential);
            let ln_attn = norm("ln_attn", norms == Norms::Each);
            let ln_mlp = norm("ln_mlp", norms == Norms::Each);
            let mut dense = |part: &str, shape: [usize; 2]| {
                Linear::new(builder, &name(part), shape, config.bias, config.initializer_range)
            };
            Block {
                input_layernorm,
                post_attention_layernorm,
                ln_attn,
                ln_mlp,
                self_attention: Attention {
                    query_key_value: dense("self_attention.query_key_value", [width, qkv]),
                    dense: dense("self_attention.dense", [width, width]),
                    heads,
                    groups,
                },
                mlp: Mlp {
                    dense_h_to_4h: dense("mlp.dense_h_to_4h", [width, inner]),
                    dense_4h_to_h: dense("mlp.dense_4h_to_h", [inner, width]),
                    activation: config.activation,
                },
            }
        };
        let (word_embeddings, lm_head) = Embedding::with_output(
            builder,
            ["word_embeddings", "lm_head"],
            [config.vocab_size, width],
            config.tie_word_embeddings,
            config.initializer_range,
        );
        Ok(Self {
            word_embeddings,
            h: (0..config.num_hidden_layers).map(|i| block(builder, i)).collect(),
            ln_f: layer_norm(builder, "ln_f", width, config.layer_norm_epsilon),
            lm_head,
            rotary: config.rotary()?,
        })
    }

    /// Hidden states `[rows, width, embedding]` of `input`; new keys and values go into `cache`.
    pub fn hidden(&self, input: &Input, mut cache: Option<&mut KvCache>) -> Tensor<3> {
        let mut x = self.word_embeddings.forward(input.ids.clone());
        let angles = self.rotary.angles(&input.positions, input.length, &x.device());
        for (i, block) in self.h.iter().enumerate() {
            x = block.forward(x, i, input, &angles, cache.as_deref_mut());
        }
        if let Some(cache) = cache {
            cache.advance(input.ids.dims()[1]);
        }
        self.ln_f.forward(x)
    }

    /// The output projection, one vector per token.
    pub fn output(&self) -> &Embedding {
        self.lm_head.as_ref().unwrap_or(&self.word_embeddings)
    }

    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        self.h.iter_mut().enumerate().flat_map(|(i, block)| block.linears_mut(&format!("h.{i}"))).collect()
    }

    pub(crate) fn embeddings_mut(&mut self) -> Vec<(String, &mut Embedding)> {
        let output = self.lm_head.as_mut().map(|output| ("lm_head".to_owned(), output));
        [("word_embeddings".to_owned(), &mut self.word_embeddings)].into_iter().chain(output).collect()
    }
}

impl Block {
    fn forward(
        &self,
        x: Tensor<3>,
        layer: usize,
        input: &Input,
        angles: &Angles,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let norm = |norm: &Option<LayerNorm>, x: Tensor<3>| norm.as_ref().map(|norm| norm.forward(x));
        let before = norm(&self.input_layernorm, x.clone()).or_else(|| norm(&self.ln_attn, x.clone()));
        let before = before.unwrap_or_else(|| x.clone());
        let attended = self.self_attention.forward(before.clone(), layer, input, angles, cache);
        if let Some(after) = &self.post_attention_layernorm {
            let x = x + attended;
            return x.clone() + self.mlp.forward(after.forward(x), input);
        }
        let beside = norm(&self.ln_mlp, x.clone()).unwrap_or(before);
        self.mlp.forward(beside, input) + attended + x
    }

    fn linears_mut(&mut self, name: &str) -> Vec<(String, &mut Linear)> {
        let (attention, mlp) = (&mut self.self_attention, &mut self.mlp);
        vec![
            (format!("{name}.self_attention.query_key_value"), &mut attention.query_key_value),
            (format!("{name}.self_attention.dense"), &mut attention.dense),
            (format!("{name}.mlp.dense_h_to_4h"), &mut mlp.dense_h_to_4h),
            (format!("{name}.mlp.dense_4h_to_h"), &mut mlp.dense_4h_to_h),
        ]
    }
}

impl Attention {
    fn forward(
        &self,
        x: Tensor<3>,
        layer: usize,
        input: &Input,
        angles: &Angles,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let [rows, length, width] = x.dims();
        let (head, groups, each) = (width / self.heads, self.groups, self.heads / self.groups);
        let qkv = self.query_key_value.forward(x, input.noise()).reshape([rows, length, groups, each + 2, head]);
        // `[rows, groups · count, length, head]`
        let part = |from: usize, count: usize| {
            qkv.clone().narrow(3, from, count).reshape([rows, length, groups * count, head]).swap_dims(1, 2)
        };
        let (query, key, value) = (part(0, each), part(each, 1), part(each + 1, 1));
        let (query, key) = (angles.rotate(query), angles.rotate(key));
        let (key, value) = match cache {
            Some(cache) => cache.append(layer, key, value),
            None => (key, value),
        };
        let mixed = attend(query, key, value, &input.mask);
        self.dense.forward(mixed.swap_dims(1, 2).reshape([rows, length, width]), input.noise())
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>, input: &Input) -> Tensor<3> {
        let inner = self.activation.apply(self.dense_h_to_4h.forward(x, input.noise()));
        self.dense_4h_to_h.forward(inner, input.noise())
    }
}
