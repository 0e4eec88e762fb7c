use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::falcon::FalconConfig;
use crate::gpt_neox::GptNeoXConfig;
use crate::gpt2::Gpt2Config;
use crate::llama::{LlamaConfig, Member};

/// A model's shape, as its `config.json` states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model_type", rename_all = "snake_case")]
pub enum Config {
    #[serde(rename = "gpt2")]
    Gpt2(Gpt2Config),
    Llama(LlamaConfig),
    Mistral(LlamaConfig),
    Qwen2(LlamaConfig),
    #[serde(rename = "gpt_neox")]
    GptNeoX(GptNeoXConfig),
    Falcon(FalconConfig),
}

/// The feed-forward layer's non-linearity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// GELU in its tanh approximation (Hendrycks & Gimpel 2016, section 2).
    #[default]
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    #[serde(rename = "gelu", alias = "gelu_python")]
    Gelu,
    #[serde(rename = "silu", alias = "swish")]
    Silu,
    #[serde(rename = "relu")]
    Relu,
}

/// The token that ends a sequence, or several of which any does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub struct EndOfSequence(Vec<u32>);

impl From<Value> for EndOfSequence {
    fn from(value: Value) -> Self {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        Self(match &value {
            Value::Array(ids) => ids.iter().filter_map(id).collect(),
            other => id(other).into_iter().collect(),
        })
    }
}

impl From<EndOfSequence> for Value {
    fn from(EndOfSequence(ids): EndOfSequence) -> Self {
        match ids.as_slice() {
            [id] => Self::from(*id),
            ids => Self::from(ids),
        }
    }
}

impl From<u32> for EndOfSequence {
    fn from(id: u32) -> Self {
        Self(vec![id])
    }
}

pub(crate) fn default_true() -> bool {
    true
}

/// Standard deviation of fresh weights.
pub(crate) fn default_deviation() -> f32 {
    0.02
}

/// Settings that change what is computed in some model of the families and aren't implemented, each with the values
/// that leave everything as it is.
const UNSUPPORTED: [(&str, &[&str]); 9] = [
    ("quantization_config", &[]),
    ("add_cross_attention", &["false"]),
    ("apply_residual_connection_post_layernorm", &["false"]),
    ("embedding_multiplier", &["1", "1.0"]),
    ("residual_multiplier", &["1", "1.0"]),
    ("attention_multiplier", &[]),
    ("logits_scaling", &["1", "1.0"]),
    ("final_logit_softcapping", &[]),
    ("attn_logit_softcapping", &[]),
];

fn unsupported_setting(json: &Value) -> Option<String> {
    UNSUPPORTED.iter().find_map(|(name, harmless)| {
        let value = json.get(name).filter(|value| !value.is_null())?.to_string();
        (!harmless.contains(&value.as_str())).then(|| format!("`{name} = {value}` is not supported"))
    })
}

impl Config {
    /// Reads `config.json`; a setting that would change the result and isn't implemented is an error that names it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
        let value: Value =
            serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        let config_error = |reason| Error::Config { path: path.to_owned(), reason };
        if let Some(reason) = unsupported_setting(&value) {
            return Err(config_error(reason));
        }
        let config: Self = serde_json::from_value(value).map_err(|e| config_error(e.to_string()))?;
        match config.unsupported() {
            Some(reason) => Err(config_error(reason)),
            None => Ok(config),
        }
    }

    /// Writes `config.json`.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec_pretty(self).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        std::fs::write(path, json).map_err(Error::write(path))
    }

    /// Why this shape can't be built, if it can't.
    pub fn unsupported(&self) -> Option<String> {
        match self {
            Self::Gpt2(config) => config.unsupported(),
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config.unsupported(),
            Self::GptNeoX(config) => config.unsupported(),
            Self::Falcon(config) => config.unsupported(),
        }
    }

    /// Which of the Llamas this is.
    pub(crate) fn member(&self) -> Member {
        match self {
            Self::Mistral(_) => Member::Mistral,
            Self::Qwen2(_) => Member::Qwen2,
            _ => Member::Llama,
        }
    }

    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.vocab_size,
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config.vocab_size,
            Self::GptNeoX(config) => config.vocab_size,
            Self::Falcon(config) => config.vocab_size,
        }
    }

    pub(crate) fn vocab_size_mut(&mut self) -> &mut usize {
        match self {
            Self::Gpt2(config) => &mut config.vocab_size,
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => &mut config.vocab_size,
            Self::GptNeoX(config) => &mut config.vocab_size,
            Self::Falcon(config) => &mut config.vocab_size,
        }
    }

    /// Longest sequence in tokens.
    pub fn context(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_positions,
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config.context(),
            Self::GptNeoX(config) => config.context(),
            Self::Falcon(config) => config.context(),
        }
    }

    pub fn layers(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_layer,
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config.num_hidden_layers,
            Self::GptNeoX(config) => config.num_hidden_layers,
            Self::Falcon(config) => config.num_hidden_layers,
        }
    }

    /// Layers of the KV cache: a sliding window keeps the tokens' positions in one more.
    pub(crate) fn cache_layers(&self) -> usize {
        let windowed = match self {
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config.is_windowed(self.member()),
            Self::Gpt2(_) | Self::GptNeoX(_) | Self::Falcon(_) => false,
        };
        self.layers() + usize::from(windowed)
    }

    /// Width of the hidden states.
    pub fn width(&self) -> usize {
        match self {
            Self::Gpt2(config) => config.n_embd,
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config.hidden_size,
            Self::GptNeoX(config) => config.hidden_size,
            Self::Falcon(config) => config.hidden_size,
        }
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Gpt2(config) => config.parameters(),
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config.parameters(self.member()),
            Self::GptNeoX(config) => config.parameters(),
            Self::Falcon(config) => config.parameters(),
        }
    }

    /// What the names of the transformer's parameters have in front of them in a whole checkpoint.
    pub(crate) fn prefix(&self) -> &'static str {
        match self {
            Self::Gpt2(_) | Self::Falcon(_) => "transformer.",
            Self::Llama(_) | Self::Mistral(_) | Self::Qwen2(_) => "model.",
            Self::GptNeoX(_) => "gpt_neox.",
        }
    }

    /// The name of a part as a whole checkpoint has it. The output projection stands outside the transformer.
    pub(crate) fn full_name(&self, name: &str) -> String {
        let outside = name.starts_with("lm_head") || name.starts_with("embed_out");
        if outside { name.to_owned() } else { format!("{}{name}", self.prefix()) }
    }

    /// The layers that PEFT adapts in this family unless told otherwise: a regular expression over names.
    pub(crate) fn usual_targets(&self) -> &'static str {
        match self {
            Self::Gpt2(_) => r"\.c_attn$",
            Self::Llama(_) | Self::Mistral(_) | Self::Qwen2(_) => r"\.[qv]_proj$",
            Self::GptNeoX(_) | Self::Falcon(_) => r"\.query_key_value$",
        }
    }

    pub fn eos_token(&self) -> Option<u32> {
        let end = match self {
            Self::Gpt2(config) => &config.eos_token_id,
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => &config.eos_token_id,
            Self::GptNeoX(config) => &config.eos_token_id,
            Self::Falcon(config) => &config.eos_token_id,
        };
        end.as_ref().and_then(|EndOfSequence(ids)| ids.first().copied())
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
        let gpt2 = r#""model_type":"gpt2","vocab_size":10,"n_positions":8,"n_embd":4,"n_layer":1,"n_head":2"#;
        let shape = r#""vocab_size":10,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2"#;
        let llama = format!(r#""model_type":"llama",{shape},"intermediate_size":8"#);
        let falcon = format!(r#""model_type":"falcon",{shape}"#);
        for supported in [gpt2, &llama, &falcon] {
            assert!(read(&format!("{{{supported}}}")).is_ok());
        }
        let cases = [
            (format!(r#"{{{gpt2},"activation_function":"mish"}}"#), "mish"),
            (format!(r#"{{{gpt2},"add_cross_attention":true}}"#), "add_cross_attention"),
            (r#"{"model_type":"bert"}"#.to_owned(), "bert"),
            (gpt2.replace("\"n_head\":2", "\"n_head\":3").replacen('"', "{\"", 1) + "}", "n_head"),
            (format!(r#"{{{llama},"num_key_value_heads":3}}"#), "num_key_value_heads"),
            (format!(r#"{{{llama},"rope_scaling":{{"type":"longrope","factor":2}}}}"#), "longrope"),
            (format!(r#"{{{llama},"rope_scaling":{{"type":"linear"}}}}"#), "factor"),
            (format!(r#"{{{llama},"rope_scaling":{{"type":"linear","speed":2}}}}"#), "speed"),
            (format!(r#"{{{llama},"quantization_config":{{"bits":4}}}}"#), "quantization_config"),
            (format!(r#"{{{falcon},"alibi":true}}"#), "alibi"),
            ("{".to_owned(), "JSON"),
        ];
        for (json, named) in cases {
            let error = read(&json).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("config.json"), "{json}: {error}");
        }
    }

    #[test]
    fn end_of_sequence_may_be_several_tokens() {
        let gpt2 = r#""model_type":"gpt2","vocab_size":10,"n_positions":8,"n_embd":4,"n_layer":1,"n_head":2"#;
        for (json, first) in [("7", Some(7)), ("[5, 6]", Some(5)), ("null", None)] {
            let config = read(&format!(r#"{{{gpt2},"eos_token_id":{json}}}"#)).unwrap();
            assert_eq!(config.eos_token(), first);
            let again: Config = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
            assert_eq!(again, config);
        }
    }
}
