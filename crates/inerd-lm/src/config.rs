use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A model's shape, as its `config.json` states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model_type", rename_all = "snake_case")]
pub enum Config {
    #[serde(rename = "gpt2")]
    Gpt2(Gpt2Config),
}

/// GPT-2 (Radford et al. 2019), with the field names of its `config.json`.
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
    pub eos_token_id: Option<u32>,
    #[serde(default = "default_true")]
    scale_attn_weights: bool,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
}

/// The feed-forward layer's non-linearity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// GELU in its tanh approximation (Hendrycks & Gimpel 2016, section 2).
    #[default]
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    #[serde(rename = "gelu")]
    Gelu,
    #[serde(rename = "silu", alias = "swish")]
    Silu,
    #[serde(rename = "relu")]
    Relu,
}

fn default_epsilon() -> f64 {
    1e-5
}

fn default_true() -> bool {
    true
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

    fn unsupported(&self) -> Option<String> {
        if !self.scale_attn_weights {
            return Some("`scale_attn_weights = false` is not supported".into());
        }
        if self.scale_attn_by_inverse_layer_idx {
            return Some("`scale_attn_by_inverse_layer_idx = true` is not supported".into());
        }
        if self.n_head == 0 || !self.n_embd.is_multiple_of(self.n_head) {
            return Some(format!("`n_embd` ({}) is no multiple of `n_head` ({})", self.n_embd, self.n_head));
        }
        if self.vocab_size == 0 || self.n_positions == 0 || self.n_embd == 0 {
            return Some("`vocab_size`, `n_positions` and `n_embd` must be positive".into());
        }
        None
    }
}

impl Config {
    /// Reads `config.json`; a setting that would change the result and isn't implemented is an error that names it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        let config_error = |reason| Error::Config { path: path.to_owned(), reason };
        let config: Self = serde_json::from_value(value).map_err(|e| config_error(e.to_string()))?;
        match config.unsupported() {
            Some(reason) => Err(config_error(reason)),
            None => Ok(config),
        }
    }

    /// Why this shape can't be built, if it can't.
    pub fn unsupported(&self) -> Option<String> {
        match self {
            Self::Gpt2(config) => config.unsupported(),
        }
    }

    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.vocab_size,
        }
    }

    /// Longest sequence in tokens.
    pub fn context(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_positions,
        }
    }

    pub fn layers(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_layer,
        }
    }

    /// Width of the hidden states.
    pub fn width(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_embd,
        }
    }

    /// Number of trainable values.
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Gpt2(config) => {
                let (width, inner) = (config.n_embd, config.n_inner.unwrap_or(4 * config.n_embd));
                let embeddings = if config.tie_word_embeddings { 1 } else { 2 } * config.vocab_size * width;
                let attention = 4 * width * width + 4 * width;
                let feed_forward = 2 * width * inner + inner + width;
                let norms = 4 * width;
                let layers = config.n_layer * (attention + feed_forward + norms);
                (embeddings + config.n_positions * width + layers + 2 * width) as u64
            }
        }
    }

    pub fn eos_token(&self) -> Option<u32> {
        match self {
            Self::Gpt2(config) => config.eos_token_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Config, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        Config::read(&path)
    }

    #[test]
    fn an_unsupported_setting_is_named() {
        let shape = r#""model_type":"gpt2","vocab_size":10,"n_positions":8,"n_embd":4,"n_layer":1,"n_head":2"#;
        assert!(read(&format!("{{{shape}}}")).is_ok());
        let cases = [
            (format!(r#"{{{shape},"activation_function":"mish"}}"#), "mish"),
            (format!(r#"{{{shape},"scale_attn_by_inverse_layer_idx":true}}"#), "scale_attn_by_inverse_layer_idx"),
            (r#"{"model_type":"bert"}"#.to_owned(), "bert"),
            (shape.replace("\"n_head\":2", "\"n_head\":3").replacen('"', "{\"", 1) + "}", "n_head"),
            ("{".to_owned(), "JSON"),
        ];
        for (json, named) in cases {
            let error = read(&json).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("config.json"), "{json}: {error}");
        }
    }
}
