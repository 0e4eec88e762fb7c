//! GPT-NeoX (Black et al. 2022), with Pythia and RedPajama-INCITE: rotary positions on a part of each head, and
//! attention and feed-forward side by side on the residual stream.

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
pub struct GptNeoXConfig {
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    #[serde(default = "default_activation")]
    pub hidden_act: Activation,
    #[serde(default = "default_context")]
    pub max_position_embeddings: usize,
    #[serde(default = "default_deviation")]
    pub initializer_range: f32,
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub tie_word_embeddings: bool,
    #[serde(default)]
    pub eos_token_id: Option<EndOfSequence>,
    /// Whether attention and feed-forward read the same residual stream; else one follows the other.
    #[serde(default = "default_true")]
    pub use_parallel_residual: bool,
    #[serde(default = "default_true")]
    pub attention_bias: bool,
    /// Share of a head's width that is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_pct: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_emb_base: Option<f64>,
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

impl GptNeoXConfig {
    /// A model of a given shape with the family's own choices for everything else, but tied embeddings.
    pub fn new(vocab_size: usize, context: usize, width: usize, layers: usize, heads: usize) -> Self {
        Self {
            vocab_size,
            hidden_size: width,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: 4 * width,
            hidden_act: default_activation(),
            max_position_embeddings: context,
            initializer_range: default_deviation(),
            layer_norm_eps: default_epsilon(),
            tie_word_embeddings: true,
            eos_token_id: None,
            use_parallel_residual: true,
            attention_bias: true,
            rotary_pct: None,
            rotary_emb_base: None,
            rope_scaling: None,
            rope_parameters: None,
        }
    }

    fn rotary(&self) -> Result<Rotary, String> {
        Rotary::new(&Source {
            parameters: self.rope_parameters.as_ref().or(self.rope_scaling.as_ref()),
            theta: self.rotary_emb_base,
            share: self.rotary_pct.unwrap_or(0.25),
            head_width: self.hidden_size / self.num_attention_heads.max(1),
            context: self.max_position_embeddings,
        })
    }

    /// Longest sequence in tokens.
    pub(crate) fn context(&self) -> usize {
        self.rotary().map_or(self.max_position_embeddings, |rotary| rotary.longest())
    }

    pub(crate) fn unsupported(&self) -> Option<String> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if self.vocab_size == 0 || width == 0 || self.intermediate_size == 0 {
            return Some("`vocab_size`, `hidden_size` and `intermediate_size` must be positive".into());
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            return Some(format!("`hidden_size` ({width}) is no multiple of `num_attention_heads` ({heads})"));
        }
        self.rotary().err()
    }

    pub(crate) fn parameters(&self) -> u64 {
        let (width, inner) = (self.hidden_size, self.intermediate_size);
        let attention = 4 * width * width + if self.attention_bias { 4 * width } else { 0 };
        let mlp = 2 * width * inner + inner + width;
        let embeddings = if self.tie_word_embeddings { 1 } else { 2 } * self.vocab_size * width;
        (embeddings + self.num_hidden_layers * (attention + mlp + 4 * width) + 2 * width) as u64
    }
}

/// The transformer. Field names are the checkpoint's.
#[derive(Module, Debug)]
pub struct GptNeoX {
    /// Token embeddings `[vocabulary, width]`, also the output projection where tied.
    pub embed_in: Embedding,
    pub layers: Vec<Layer>,
    pub final_layer_norm: LayerNorm,
    /// The output projection `[vocabulary, width]`, where it isn't tied.
    pub embed_out: Option<Embedding>,
    #[module(skip)]
    rotary: Rotary,
}

#[derive(Module, Debug)]
pub struct Layer {
    input_layernorm: LayerNorm,
    post_attention_layernorm: LayerNorm,
    attention: Attention,
    mlp: Mlp,
    #[module(skip)]
    parallel: bool,
}

#[derive(Module, Debug)]
struct Attention {
    /// `width` to `3 · width`: query, key and value of the first head, then of the second, …
    query_key_value: Linear,
    dense: Linear,
    #[module(skip)]
    heads: usize,
}

#[derive(Module, Debug)]
struct Mlp {
    dense_h_to_4h: Linear,
    dense_4h_to_h: Linear,
    #[module(skip)]
    activation: Activation,
}

impl GptNeoX {
    pub(crate) fn new(config: &GptNeoXConfig, builder: &mut Builder<'_>) -> Result<Self, String> {
        let (width, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let deviation = config.initializer_range;
        let layer = |builder: &mut Builder<'_>, i: usize| {
            let name = |part: &str| format!("layers.{i}.{part}");
            let bias = config.attention_bias;
            Layer {
                input_layernorm: layer_norm(builder, &name("input_layernorm"), width, epsilon),
                post_attention_layernorm: layer_norm(builder, &name("post_attention_layernorm"), width, epsilon),
                attention: Attention {
                    query_key_value: Linear::new(
                        builder,
                        &name("attention.query_key_value"),
                        [width, 3 * width],
                        bias,
                        deviation,
                    ),
                    dense: Linear::new(builder, &name("attention.dense"), [width, width], bias, deviation),
                    heads: config.num_attention_heads,
                },
                mlp: Mlp {
                    dense_h_to_4h: Linear::new(builder, &name("mlp.dense_h_to_4h"), [width, inner], true, deviation),
                    dense_4h_to_h: Linear::new(builder, &name("mlp.dense_4h_to_h"), [inner, width], true, deviation),
                    activation: config.hidden_act,
                },
                parallel: config.use_parallel_residual,
            }
        };
        let (embed_in, embed_out) = Embedding::with_output(
            builder,
            ["embed_in", "embed_out"],
            [config.vocab_size, width],
            config.tie_word_embeddings,
            deviation,
        );
        Ok(Self {
            embed_in,
            layers: (0..config.num_hidden_layers).map(|i| layer(builder, i)).collect(),
            final_layer_norm: layer_norm(builder, "final_layer_norm", width, epsilon),
            embed_out,
            rotary: config.rotary()?,
        })
    }

    /// Hidden states `[rows, width, embedding]` of `input`; new keys and values go into `cache`.
    pub fn hidden(&self, input: &Input, mut cache: Option<&mut KvCache>) -> Tensor<3> {
        let mut x = self.embed_in.forward(input.ids.clone());
        let angles = self.rotary.angles(&input.positions, input.length, &x.device());
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, i, input, &angles, cache.as_deref_mut());
        }
        if let Some(cache) = cache {
            cache.advance(input.ids.dims()[1]);
        }
        self.final_layer_norm.forward(x)
    }

    /// The output projection, one vector per token.
    pub fn output(&self) -> &Embedding {
        self.embed_out.as_ref().unwrap_or(&self.embed_in)
    }

    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        self.layers.iter_mut().enumerate().flat_map(|(i, layer)| layer.linears_mut(&format!("layers.{i}"))).collect()
    }

    pub(crate) fn embeddings_mut(&mut self) -> Vec<(String, &mut Embedding)> {
        let output = self.embed_out.as_mut().map(|output| ("embed_out".to_owned(), output));
        [("embed_in".to_owned(), &mut self.embed_in)].into_iter().chain(output).collect()
    }
}

impl Layer {
    fn forward(
        &self,
        x: Tensor<3>,
        layer: usize,
        input: &Input,
        angles: &Angles,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let attended = self.attention.forward(self.input_layernorm.forward(x.clone()), layer, input, angles, cache);
        let feed_forward = |x: Tensor<3>| self.mlp.forward(self.post_attention_layernorm.forward(x), input);
        if self.parallel {
            feed_forward(x.clone()) + attended + x
        } else {
            let x = attended + x;
            feed_forward(x.clone()) + x
        }
    }

    fn linears_mut(&mut self, name: &str) -> Vec<(String, &mut Linear)> {
        vec![
            (format!("{name}.attention.query_key_value"), &mut self.attention.query_key_value),
            (format!("{name}.attention.dense"), &mut self.attention.dense),
            (format!("{name}.mlp.dense_h_to_4h"), &mut self.mlp.dense_h_to_4h),
            (format!("{name}.mlp.dense_4h_to_h"), &mut self.mlp.dense_4h_to_h),
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
        let head = width / self.heads;
        let qkv = self.query_key_value.forward(x, input.noise());
        let qkv = qkv.reshape([rows, length, self.heads, 3 * head]).swap_dims(1, 2);
        let part = |i: usize| qkv.clone().narrow(3, i * head, head);
        let (query, key, value) = (angles.rotate(part(0)), angles.rotate(part(1)), part(2));
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
