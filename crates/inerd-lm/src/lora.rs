//! Low-rank adapters (Hu et al. 2021): `y = x W + s (x A) B` with `W` frozen, in PEFT's file format.
//!
//! The two thin products are computed one after the other, so that neither the update of `W` nor its gradient is ever
//! held. `s` is α / r, or α / √r as Kalajdzievski 2023 proposes.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::linear;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dropout::Noise;
use crate::model::Adapter;
use crate::nn::{self, Linear, TrainedRows};
use crate::weights::{self, Builder, Checkpoint, Init, Stored};
use crate::{Error, LanguageModel};

/// PEFT's names for an adapter's two files.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts in front of the names of the model's parts.
const WRAPPER: &str = "base_model.model.";

/// An adapter's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// r: inner width of the update.
    pub rank: usize,
    /// α: the update counts α / r times.
    pub alpha: f64,
    /// Share of the adapter's inputs that is dropped in training.
    pub dropout: f64,
    /// Scale by α / √r instead.
    pub rslora: bool,
    /// Regular expression that is searched in the names of the dense layers (`transformer.h.0.attn.c_attn`); where it
    /// is absent, PEFT's own choice for the family: the projections to query, key and value, in Llama query and value.
    pub targets: Option<String>,
    /// Tokens whose embeddings are trained, too, both as input and as output.
    pub trained_tokens: Vec<u32>,
}

/// The adapter of one dense layer.
#[derive(Module, Debug)]
pub(crate) struct LowRank {
    /// A, transposed: `[rank, inputs]`
    pub(crate) a: Param<Tensor<2>>,
    /// B, transposed: `[outputs, rank]`
    pub(crate) b: Param<Tensor<2>>,
    #[module(skip)]
    scale: f64,
    #[module(skip)]
    dropout: f64,
}

impl LowRank {
    /// B is zero at first, so that the adapter changes nothing; A is uniform in ±1/√inputs, as in PEFT.
    fn new(builder: &mut Builder<'_>, module: &str, [inputs, outputs]: [usize; 2], config: &LoraConfig) -> Self {
        let bound = (inputs as f32).sqrt().recip();
        Self {
            a: builder.param(&factor(module, 'A'), [config.rank, inputs], Init::Uniform(bound)),
            b: builder.param(&factor(module, 'B'), [outputs, config.rank], Init::Zeros),
            scale: config.scale(),
            dropout: config.dropout,
        }
    }

    /// `[…, inputs]` to `[…, outputs]`; `noise` in training only.
    pub(crate) fn forward<const D: usize>(&self, x: Tensor<D>, noise: Option<&Noise>) -> Tensor<D> {
        let x = match noise {
            Some(noise) => noise.drop(x, self.dropout, self.a.id.val()),
            None => x,
        };
        // The scale goes onto the thin factor: r values per position instead of `outputs`.
        let inner = linear(x, self.a.val().transpose(), None).mul_scalar(self.scale);
        linear(inner, self.b.val().transpose(), None)
    }

    /// What the adapter adds to the weight, `[outputs, inputs]`.
    pub(crate) fn product(&self) -> Tensor<2> {
        self.b.val().matmul(self.a.val()).mul_scalar(self.scale)
    }
}

impl LoraConfig {
    fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }

    /// The pattern of the adapted layers' names.
    fn pattern(&self, model: &LanguageModel) -> Result<Regex, Error> {
        let targets = self.targets.as_deref().unwrap_or(model.config.usual_targets());
        Regex::new(targets).map_err(|e| Error::Adapter { reason: format!("`{targets}` is no regular expression: {e}") })
    }
}

impl LanguageModel {
    /// The same model with its weights frozen and a fresh adapter to train.
    ///
    /// The weights are shared and not copied: several adapters, each under a name of its own, may train on one base.
    pub fn with_adapter(&self, lora: &LoraConfig, name: &str, seed: u64) -> Result<Self, Error> {
        let device = self.device();
        self.adapted(name, lora, &mut Builder::random(seed, &device).within(name))
    }

    /// The same model with its weights frozen and the adapter that `dir` holds ([`LanguageModel::save_adapter`] or PEFT).
    pub fn load_adapter(&self, dir: &Path, name: &str) -> Result<Self, Error> {
        let path = dir.join(ADAPTER_CONFIG);
        let text = std::fs::read(&path).map_err(Error::read(&path))?;
        let json: Value = serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
        let lora = PeftConfig::read(&json)
            .and_then(|config| config.lora(&self.input_embedding()))
            .map_err(|reason| Error::Config { path, reason })?;
        let checkpoint = Checkpoint::file(&dir.join(ADAPTER_WEIGHTS))?;
        let device = self.device();
        let mut builder = Builder::checkpoint(&checkpoint, "", &device).within(name);
        let adapted = self.adapted(name, &lora, &mut builder)?;
        builder.finish()?;
        Ok(adapted)
    }

    fn adapted(&self, name: &str, lora: &LoraConfig, builder: &mut Builder<'_>) -> Result<Self, Error> {
        if self.adapter.is_some() {
            return Err(Error::Adapter { reason: "the model has an adapter already: merge it first".to_owned() });
        }
        if lora.rank == 0 {
            return Err(Error::Adapter { reason: "a rank of 0 adapts nothing".to_owned() });
        }
        if let Some(&token) = lora.trained_tokens.iter().find(|&&t| t as usize >= self.config.vocab_size()) {
            let reason = format!("token {token} is to be trained, but the vocabulary has {}", self.config.vocab_size());
            return Err(Error::Adapter { reason });
        }
        let pattern = lora.pattern(self)?;
        let mut decoder = self.decoder.clone().no_grad();
        let mut found = false;
        for (name, layer) in decoder.linears_mut() {
            let name = self.config.full_name(&name);
            if pattern.is_match(&name) {
                found = true;
                layer.adapter = Some(LowRank::new(builder, &name, layer.shape(), lora));
            }
        }
        if !found {
            let names: Vec<String> = decoder.linears_mut().into_iter().take(8).map(|(name, _)| name).collect();
            return Err(Error::Adapter {
                reason: format!("`{pattern}` names no dense layer; there are {} and so on", names.join(", ")),
            });
        }
        if !lora.trained_tokens.is_empty() {
            for (position, (name, embedding)) in decoder.embeddings_mut().into_iter().enumerate() {
                let name = token_rows(&self.config.full_name(&name));
                // PEFT may train an input embedding without the output's.
                if position == 0 || builder.holds(&name) {
                    let start = embedding.rows(nn::indices(&lora.trained_tokens, &self.device()));
                    let rows = builder.param_from(&name, start);
                    embedding.trained = Some(TrainedRows { rows, tokens: lora.trained_tokens.clone() });
                }
            }
        }
        let adapter = Adapter { name: name.to_owned(), lora: lora.clone() };
        let mut adapted = self.with_decoder(decoder);
        adapted.adapter = Some(adapter);
        Ok(adapted)
    }

    /// The same model with its adapter worked into the weights, and free to be trained as a whole.
    #[must_use]
    pub fn merged(mut self) -> Self {
        if self.adapter.take().is_some() {
            self.decoder.linears_mut().into_iter().for_each(|(_, layer)| layer.merge());
            self.decoder.embeddings_mut().into_iter().for_each(|(_, embedding)| embedding.merge());
            self.decoder = self.decoder.set_require_grad(true);
        }
        self
    }

    /// The same model to go on training its adapter as `lora` says; `None` where the adapter has another shape.
    pub fn continued(&self, lora: &LoraConfig) -> Result<Option<Self>, Error> {
        let mut model = self.clone();
        let Some(Adapter { lora: own, .. }) = &mut model.adapter else { return Ok(None) };
        let key = |c: &LoraConfig| (c.rank, c.alpha.to_bits(), c.rslora, c.trained_tokens.clone());
        if key(own) != key(lora) {
            return Ok(None);
        }
        own.dropout = lora.dropout;
        let pattern = lora.pattern(self)?;
        for (name, layer) in model.decoder.linears_mut() {
            if layer.adapter.is_some() != pattern.is_match(&self.config.full_name(&name)) {
                return Ok(None);
            }
            if let Some(adapter) = &mut layer.adapter {
                adapter.dropout = lora.dropout;
            }
        }
        Ok(Some(model))
    }

    /// Writes the adapter alone, as PEFT does. `base` tells readers what it belongs to.
    pub fn save_adapter(&self, dir: &Path, base: Option<&str>) -> Result<(), Error> {
        let Some(Adapter { lora, .. }) = &self.adapter else {
            return Err(Error::Adapter { reason: "the model has none to write".to_owned() });
        };
        let mut decoder = self.decoder.clone();
        let layers = decoder.linears_mut();
        let inputs_first = layers.iter().any(|(_, layer)| layer.adapter.is_some() && layer.inputs_first());
        let (adapted, others): (Vec<_>, Vec<_>) = layers.into_iter().partition(|(_, layer)| layer.adapter.is_some());
        let names = |layers: Vec<(String, &mut Linear)>| -> Vec<String> {
            layers.into_iter().map(|(name, _)| self.config.full_name(&name)).collect()
        };
        let (modules, others) = (names(adapted), names(others));
        let config = PeftConfig {
            peft_type: "LORA".to_owned(),
            task_type: Some("CAUSAL_LM".to_owned()),
            base_model_name_or_path: base.map(str::to_owned),
            r: lora.rank,
            lora_alpha: lora.alpha,
            lora_dropout: lora.dropout,
            use_rslora: lora.rslora,
            target_modules: Some(Value::from(shortest(modules, &others))),
            fan_in_fan_out: inputs_first,
            bias: "none".to_owned(),
            inference_mode: true,
            trainable_token_indices: (!lora.trained_tokens.is_empty())
                .then(|| self.embedding_names().into_iter().map(|n| (n, Value::from(lora.trained_tokens.clone()))))
                .map(|entries| Value::Object(entries.collect())),
        };
        let path = dir.join(ADAPTER_CONFIG);
        let json = serde_json::to_vec_pretty(&config).map_err(|source| Error::Json { path: path.clone(), source })?;
        std::fs::write(&path, json).map_err(Error::write(&path))?;
        weights::write(self.adapter_tensors(), &dir.join(ADAPTER_WEIGHTS))
    }

    /// The adapter's parameters under PEFT's names.
    pub(crate) fn adapter_tensors(&self) -> Vec<Stored> {
        let mut decoder = self.decoder.clone();
        let mut tensors = Vec::new();
        for (name, layer) in decoder.linears_mut() {
            if let Some(adapter) = &layer.adapter {
                let name = self.config.full_name(&name);
                tensors.push(Stored::f32(factor(&name, 'A'), adapter.a.val()));
                tensors.push(Stored::f32(factor(&name, 'B'), adapter.b.val()));
            }
        }
        for (name, embedding) in decoder.embeddings_mut() {
            if let Some(trained) = &embedding.trained {
                tensors.push(Stored::f32(token_rows(&self.config.full_name(&name)), trained.rows.val()));
            }
        }
        tensors
    }

    /// The names of the embeddings' modules: the input's, and the output's where it is another matrix.
    fn embedding_names(&self) -> Vec<String> {
        let last = |name: String| name.rsplit('.').next().unwrap_or_default().to_owned();
        self.decoder.clone().embeddings_mut().into_iter().map(|(name, _)| last(name)).collect()
    }

    fn input_embedding(&self) -> String {
        self.embedding_names().into_iter().next().unwrap_or_default()
    }
}

/// The name of an adapter's factor in a file.
fn factor(module: &str, letter: char) -> String {
    format!("{WRAPPER}{module}.lora_{letter}.weight")
}

/// The name of an embedding's trained rows in a file. They are the rows themselves; PEFT only calls them a delta.
fn token_rows(module: &str) -> String {
    format!("{WRAPPER}{module}.token_adapter.trainable_tokens_delta")
}

/// The shortest names that pick out `modules` alone: their last parts where no other layer ends so.
fn shortest(modules: Vec<String>, others: &[String]) -> Vec<String> {
    let mut ends: Vec<String> = modules.iter().map(|m| m.rsplit('.').next().unwrap_or_default().to_owned()).collect();
    ends.sort();
    ends.dedup();
    let ambiguous = |end: &String| others.iter().any(|o| o.rsplit('.').next() == Some(end));
    if ends.iter().any(ambiguous) { modules } else { ends }
}

/// `adapter_config.json`, as far as it changes what is computed.
#[derive(Debug, Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(default = "default_rank")]
    r: usize,
    #[serde(default = "default_alpha")]
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    use_rslora: bool,
    /// A regular expression for whole names, or a list of names' endings.
    #[serde(default)]
    target_modules: Option<Value>,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default = "default_bias")]
    bias: String,
    #[serde(default)]
    inference_mode: bool,
    #[serde(default)]
    trainable_token_indices: Option<Value>,
}

fn default_rank() -> usize {
    8
}

fn default_alpha() -> f64 {
    8.0
}

fn default_bias() -> String {
    "none".to_owned()
}

/// Settings of PEFT that change what is computed and aren't implemented.
const UNSUPPORTED: [&str; 18] = [
    "use_dora",
    "use_qalora",
    "lora_bias",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "layer_replication",
    "rank_pattern",
    "alpha_pattern",
    "exclude_modules",
    "target_parameters",
    "megatron_config",
    "arrow_config",
    "alora_invocation_tokens",
    "kasa_config",
    "monteclora_config",
    "use_bdlora",
    "velora_config",
];

impl PeftConfig {
    fn read(json: &Value) -> Result<Self, String> {
        for name in UNSUPPORTED {
            let set = match &json[name] {
                Value::Null | Value::Bool(false) => false,
                Value::Array(list) => !list.is_empty(),
                Value::Object(map) => !map.is_empty(),
                _ => true,
            };
            if set {
                return Err(format!("`{name}` is not supported"));
            }
        }
        let config: Self = serde_json::from_value(json.clone()).map_err(|e| e.to_string())?;
        if config.peft_type != "LORA" {
            return Err(format!("`peft_type = \"{}\"` is not supported, only LORA", config.peft_type));
        }
        if config.bias != "none" {
            return Err(format!("`bias = \"{}\"` is not supported", config.bias));
        }
        // Initialisations that change the base model's weights: the adapter alone is not the whole difference.
        match &json["init_lora_weights"] {
            Value::Null | Value::Bool(_) => {}
            Value::String(name) if ["gaussian", "orthogonal"].contains(&name.as_str()) => {}
            other => return Err(format!("`init_lora_weights = {other}` is not supported: it changes the base model")),
        }
        Ok(config)
    }

    fn lora(&self, embedding: &str) -> Result<LoraConfig, String> {
        let endings = |names: &[Value]| -> Option<Vec<String>> {
            names.iter().map(|name| name.as_str().map(regex::escape)).collect()
        };
        let targets = match &self.target_modules {
            Some(Value::String(word)) if word == "all-linear" => ".".to_owned(),
            Some(Value::String(pattern)) => format!("^(?:{pattern})$"),
            Some(Value::Array(names)) => endings(names)
                .map(|names| format!(r"(?:^|\.)(?:{})$", names.join("|")))
                .ok_or("`target_modules` holds something else than names")?,
            Some(other) => return Err(format!("`target_modules` is {other}: expected names or a regular expression")),
            None => return Err("`target_modules` is missing".to_owned()),
        };
        let tokens = match &self.trainable_token_indices {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(Value::Object(map)) => map.get(embedding).and_then(Value::as_array).cloned().ok_or_else(|| {
                format!("`trainable_token_indices` names other modules than the embedding `{embedding}`")
            })?,
            Some(other) => return Err(format!("`trainable_token_indices` is {other}: expected token ids")),
        };
        let token = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        Ok(LoraConfig {
            rank: self.r,
            alpha: self.lora_alpha,
            dropout: self.lora_dropout,
            rslora: self.use_rslora,
            targets: Some(targets),
            trained_tokens: (tokens.iter().map(token).collect::<Option<_>>())
                .ok_or("`trainable_token_indices` holds something else than token ids")?,
        })
    }
}
