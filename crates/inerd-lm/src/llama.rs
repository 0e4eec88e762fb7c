//! Llama (Touvron et al. 2023) and its like: rotary positions, RMS norm before each block, SwiGLU, shared key-value
//! heads. Mistral adds a sliding window, Qwen 2 biases on query, key and value.

use burn::module::Module;
use burn::nn::RmsNorm;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::attention::{Mask, attend};
use crate::cache::KvCache;
use crate::config::{Activation, EndOfSequence, default_deviation};
use crate::model::Input;
use crate::nn::{Embedding, Linear, rms_norm};
use crate::rotary::{Angles, RopeParameters, Rotary, Source};
use crate::weights::Builder;

/// The field names are those of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    /// Heads of keys and values; as many as query heads where missing.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; the hidden states' width divided among the heads where missing.
    #[serde(default)]
    pub head_dim: Option<usize>,
    #[serde(default = "default_activation")]
    pub hidden_act: Activation,
    #[serde(default = "default_context")]
    pub max_position_embeddings: usize,
    #[serde(default = "default_deviation")]
    pub initializer_range: f32,
    #[serde(default = "default_epsilon")]
    pub rms_norm_eps: f64,
    #[serde(default)]
    pub tie_word_embeddings: bool,
    #[serde(default)]
    pub eos_token_id: Option<EndOfSequence>,
    /// Biases on the four projections of attention (not in Qwen 2, which always has three).
    #[serde(default)]
    pub attention_bias: bool,
    #[serde(default)]
    pub mlp_bias: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeParameters>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<RopeParameters>,
    /// A query sees this many tokens, itself included.
    #[serde(default)]
    pub sliding_window: Option<usize>,
    /// Qwen 2: whether there is a window at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_sliding_window: Option<bool>,
    /// Qwen 2: the first layer with a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_window_layers: Option<usize>,
    /// Qwen 2: `full_attention` or `sliding_attention`, layer by layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<String>>,
}

/// What tells the family's members apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Llama,
    Mistral,
    Qwen2,
}

fn default_activation() -> Activation {
    Activation::Silu
}

fn default_context() -> usize {
    2048
}

fn default_epsilon() -> f64 {
    1e-6
}

impl LlamaConfig {
    /// A Llama of a given shape: one key-value head per head, a feed-forward layer of 8/3 the width (Shazeer 2020,
    /// which keeps the number of parameters of 4 with two matrices), tied embeddings as small models have them.
    pub fn new(vocab_size: usize, context: usize, width: usize, layers: usize, heads: usize) -> Self {
        Self {
            vocab_size,
            hidden_size: width,
            intermediate_size: (8 * width).div_ceil(3).next_multiple_of(16),
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: default_activation(),
            max_position_embeddings: context,
            initializer_range: default_deviation(),
            rms_norm_eps: default_epsilon(),
            tie_word_embeddings: true,
            eos_token_id: None,
            attention_bias: false,
            mlp_bias: false,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
            sliding_window: None,
            use_sliding_window: None,
            max_window_layers: None,
            layer_types: None,
        }
    }

    fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    fn rotary(&self) -> Result<Rotary, String> {
        Rotary::new(&Source {
            parameters: self.rope_parameters.as_ref().or(self.rope_scaling.as_ref()),
            theta: self.rope_theta,
            share: 1.0,
            head_width: self.head_width(),
            context: self.max_position_embeddings,
        })
    }

    /// Longest sequence in tokens.
    pub(crate) fn context(&self) -> usize {
        self.rotary().map_or(self.max_position_embeddings, |rotary| rotary.longest())
    }

    /// How many tokens a query of a layer sees; `None` for all.
    fn window(&self, member: Member, layer: usize) -> Option<usize> {
        let slides = match member {
            Member::Llama => false,
            Member::Mistral => true,
            Member::Qwen2 if self.use_sliding_window != Some(true) => false,
            Member::Qwen2 => match &self.layer_types {
                Some(types) => types.get(layer).is_some_and(|t| t == "sliding_attention"),
                None => layer >= self.max_window_layers.unwrap_or(28),
            },
        };
        self.sliding_window.filter(|_| slides)
    }

    pub(crate) fn is_windowed(&self, member: Member) -> bool {
        (0..self.num_hidden_layers).any(|layer| self.window(member, layer).is_some())
    }

    pub(crate) fn unsupported(&self) -> Option<String> {
        let (heads, shared) = (self.num_attention_heads, self.key_value_heads());
        if self.vocab_size == 0 || self.hidden_size == 0 || self.intermediate_size == 0 {
            return Some("`vocab_size`, `hidden_size` and `intermediate_size` must be positive".into());
        }
        if heads == 0 || (self.head_dim.is_none() && !self.hidden_size.is_multiple_of(heads)) {
            let width = self.hidden_size;
            return Some(format!("`hidden_size` ({width}) is no multiple of `num_attention_heads` ({heads})"));
        }
        if shared == 0 || !heads.is_multiple_of(shared) {
            return Some(format!("`num_attention_heads` ({heads}) is no multiple of `num_key_value_heads` ({shared})"));
        }
        if let Some(other) = (self.layer_types.iter().flatten()).find(|t| !t.ends_with("_attention") || t.len() > 17) {
            return Some(format!("`layer_types` holds `{other}`: expected full_attention or sliding_attention"));
        }
        if self.sliding_window == Some(0) {
            return Some("`sliding_window = 0` lets nothing be seen".into());
        }
        self.rotary().err()
    }

    pub(crate) fn parameters(&self, member: Member) -> u64 {
        let (width, inner, head) = (self.hidden_size, self.intermediate_size, self.head_width());
        let (queries, shared) = (self.num_attention_heads * head, self.key_value_heads() * head);
        let qkv_bias = if self.attention_bias || member == Member::Qwen2 { queries + 2 * shared } else { 0 };
        let output_bias = if self.attention_bias && member != Member::Qwen2 { width } else { 0 };
        let attention = width * (2 * queries + 2 * shared) + qkv_bias + output_bias;
        let mlp = 3 * width * inner + if self.mlp_bias { 2 * inner + width } else { 0 };
        let embeddings = if self.tie_word_embeddings { 1 } else { 2 } * self.vocab_size * width;
        (embeddings + self.num_hidden_layers * (attention + mlp + 2 * width) + width) as u64
    }
}

/// The transformer. Field names are the checkpoint's.
#[derive(Module, Debug)]
pub struct Llama {
    /// Token embeddings `[vocabulary, width]`, also the output projection where tied.
    pub embed_tokens: Embedding,
    pub layers: Vec<Layer>,
    pub norm: RmsNorm,
    /// `[vocabulary, width]`, where it isn't tied.
    pub lm_head: Option<Embedding>,
    #[module(skip)]
    rotary: Rotary,
}

/// Attention, then feed-forward, each behind a norm and added to the residual stream.
#[derive(Module, Debug)]
pub struct Layer {
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
    #[module(skip)]
    window: Option<usize>,
}

#[derive(Module, Debug)]
struct Attention {
    /// `width` to `heads · head width`
    q_proj: Linear,
    /// `width` to `key-value heads · head width`, like `v_proj`
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    #[module(skip)]
    head_width: usize,
}

#[derive(Module, Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Llama {
    pub(crate) fn new(config: &LlamaConfig, member: Member, builder: &mut Builder<'_>) -> Result<Self, String> {
        let (width, inner, head) = (config.hidden_size, config.intermediate_size, config.head_width());
        let (queries, shared) = (config.num_attention_heads * head, config.key_value_heads() * head);
        let (deviation, epsilon) = (config.initializer_range, config.rms_norm_eps);
        let qkv_bias = config.attention_bias || member == Member::Qwen2;
        let output_bias = config.attention_bias && member != Member::Qwen2;
        let layer = |builder: &mut Builder<'_>, i: usize| {
            let mut dense = |part: &str, shape: [usize; 2], bias: bool| {
                Linear::new(builder, &format!("layers.{i}.{part}"), shape, bias, deviation)
            };
            let self_attn = Attention {
                q_proj: dense("self_attn.q_proj", [width, queries], qkv_bias),
                k_proj: dense("self_attn.k_proj", [width, shared], qkv_bias),
                v_proj: dense("self_attn.v_proj", [width, shared], qkv_bias),
                o_proj: dense("self_attn.o_proj", [queries, width], output_bias),
                head_width: head,
            };
            let mlp = Mlp {
                gate_proj: dense("mlp.gate_proj", [width, inner], config.mlp_bias),
                up_proj: dense("mlp.up_proj", [width, inner], config.mlp_bias),
                down_proj: dense("mlp.down_proj", [inner, width], config.mlp_bias),
                activation: config.hidden_act,
            };
            Layer {
                input_layernorm: rms_norm(builder, &format!("layers.{i}.input_layernorm"), width, epsilon),
                self_attn,
                post_attention_layernorm: rms_norm(
                    builder,
                    &format!("layers.{i}.post_attention_layernorm"),
                    width,
                    epsilon,
                ),
                mlp,
                window: config.window(member, i),
            }
        };
        let (embed_tokens, lm_head) = Embedding::with_output(
            builder,
            ["embed_tokens", "lm_head"],
            [config.vocab_size, width],
            config.tie_word_embeddings,
            deviation,
        );
        Ok(Self {
            embed_tokens,
            layers: (0..config.num_hidden_layers).map(|i| layer(builder, i)).collect(),
            norm: rms_norm(builder, "norm", width, epsilon),
            lm_head,
            rotary: config.rotary()?,
        })
    }

    /// Hidden states `[rows, width, embedding]` of `input`; new keys and values go into `cache`.
    pub fn hidden(&self, input: &Input, mut cache: Option<&mut KvCache>) -> Tensor<3> {
        let mut x = self.embed_tokens.forward(input.ids.clone());
        let angles = self.rotary.angles(&input.positions, input.length, &x.device());
        let sight = Sight::new(self, input, cache.as_deref_mut());
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, i, input, &angles, &sight, cache.as_deref_mut());
        }
        if let Some(cache) = cache {
            cache.advance(input.ids.dims()[1]);
        }
        self.norm.forward(x)
    }

    /// The output projection, one vector per token.
    pub fn output(&self) -> &Embedding {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        self.layers.iter_mut().enumerate().flat_map(|(i, layer)| layer.linears_mut(&format!("layers.{i}"))).collect()
    }

    pub(crate) fn embeddings_mut(&mut self) -> Vec<(String, &mut Embedding)> {
        let output = self.lm_head.as_mut().map(|output| ("lm_head".to_owned(), output));
        [("embed_tokens".to_owned(), &mut self.embed_tokens)].into_iter().chain(output).collect()
    }
}

/// What the layers' queries see: the input's own mask, and the one that a sliding window makes of it.
struct Sight {
    windowed: Option<(usize, Mask)>,
}

impl Sight {
    /// Windows look at positions, and those of cached tokens ride in the cache behind the last layer's keys.
    fn new(model: &Llama, input: &Input, cache: Option<&mut KvCache>) -> Self {
        let Some(window) = model.layers.iter().find_map(|layer| layer.window) else { return Self { windowed: None } };
        let [rows, width] = input.positions.dims();
        let queries = input.positions.clone().float().reshape([rows, 1, width, 1]);
        let keys = match cache {
            Some(cache) => cache.append(model.layers.len(), queries.clone(), queries.clone()).0,
            None => queries.clone(),
        };
        // No two positions of a sequence are further apart than it has tokens.
        let seen = keys.dims()[2];
        if seen <= window {
            return Self { windowed: None };
        }
        let device = queries.device();
        let distance = queries - keys.swap_dims(2, 3);
        let far = distance.clone().greater_equal_elem(window as f32);
        let hidden = match &input.mask {
            Mask::Additive(_) => far,
            Mask::Causal => far.bool_or(distance.lower_elem(0.0)),
        };
        let scores = Tensor::zeros([rows, 1, width, seen], &device).mask_fill(hidden, crate::attention::HIDDEN);
        let scores = match &input.mask {
            Mask::Additive(mask) => scores + mask.clone(),
            Mask::Causal => scores,
        };
        Self { windowed: Some((window, Mask::Additive(scores))) }
    }

    fn mask<'a>(&'a self, input: &'a Input, window: Option<usize>) -> &'a Mask {
        match &self.windowed {
            Some((_, mask)) if window.is_some() => mask,
            _ => &input.mask,
        }
    }
}

impl Layer {
    fn forward(
        &self,
        x: Tensor<3>,
        layer: usize,
        input: &Input,
        angles: &Angles,
        sight: &Sight,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let mask = sight.mask(input, self.window);
        let normed = self.input_layernorm.forward(x.clone());
        let x = x + self.self_attn.forward(normed, layer, input, angles, mask, cache);
        x.clone() + self.mlp.forward(self.post_attention_layernorm.forward(x), input)
    }

    fn linears_mut(&mut self, name: &str) -> Vec<(String, &mut Linear)> {
        let (attention, mlp) = (&mut self.self_attn, &mut self.mlp);
        vec![
            (format!("{name}.self_attn.q_proj"), &mut attention.q_proj),
            (format!("{name}.self_attn.k_proj"), &mut attention.k_proj),
            (format!("{name}.self_attn.v_proj"), &mut attention.v_proj),
            (format!("{name}.self_attn.o_proj"), &mut attention.o_proj),
            (format!("{name}.mlp.gate_proj"), &mut mlp.gate_proj),
            (format!("{name}.mlp.up_proj"), &mut mlp.up_proj),
            (format!("{name}.mlp.down_proj"), &mut mlp.down_proj),
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
        mask: &Mask,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let [rows, length, _] = x.dims();
        let heads = |projection: &Linear| {
            let y = projection.forward(x.clone(), input.noise());
            let [_, _, all] = y.dims();
            y.reshape([rows, length, all / self.head_width, self.head_width]).swap_dims(1, 2)
        };
        let query = angles.rotate(heads(&self.q_proj));
        let key = angles.rotate(heads(&self.k_proj));
        let value = heads(&self.v_proj);
        let (key, value) = match cache {
            Some(cache) => cache.append(layer, key, value),
            None => (key, value),
        };
        let mixed = attend(query, key, value, mask);
        let [_, heads, _, width] = mixed.dims();
        self.o_proj.forward(mixed.swap_dims(1, 2).reshape([rows, length, heads * width]), input.noise())
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>, input: &Input) -> Tensor<3> {
        let gate = self.activation.apply(self.gate_proj.forward(x.clone(), input.noise()));
        self.down_proj.forward(gate * self.up_proj.forward(x, input.noise()), input.noise())
    }
}
