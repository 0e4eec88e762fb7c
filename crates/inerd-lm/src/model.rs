use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::tensor::Dtype;

use crate::attention::Mask;
use crate::cache::KvCache;
use crate::config::Config;
use crate::dropout::Noise;
use crate::falcon::Falcon;
use crate::fused;
use crate::gpt_neox::GptNeoX;
use crate::gpt2::Gpt2;
use crate::llama::Llama;
use crate::lora::LoraConfig;
use crate::nn::{Embedding, Linear, indices};
use crate::weights::{self, Builder, Checkpoint, Init, Origin, Stored};
use crate::{Error, Tokenizer};

/// A batch of token ids with their positions and what may see what.
#[derive(Debug, Clone)]
pub struct Input {
    /// `[rows, width]`
    pub ids: Tensor<2, Int>,
    /// `[rows, width]`, each position within its own sequence.
    pub positions: Tensor<2, Int>,
    pub mask: Mask,
    /// One more than the largest position.
    pub(crate) length: usize,
    /// Where dropout takes its zeros from, in training.
    noise: Option<Noise>,
}

impl Input {
    /// Rows of `width` ids each, row by row.
    pub fn new(ids: &[u32], positions: &[u32], rows: usize, mask: Mask, device: &Device) -> Self {
        let tensor = |values: &[u32]| {
            let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
            let width = values.len() / rows;
            Tensor::<2, Int>::from_data(TensorData::new(values, [rows, width]), device)
        };
        let length = positions.iter().max().map_or(0, |&last| last as usize + 1);
        Self { ids: tensor(ids), positions: tensor(positions), mask, length, noise: None }
    }

    /// The same input in a training that has dropout.
    #[must_use]
    pub fn with_noise(self, noise: Option<Noise>) -> Self {
        Self { noise, ..self }
    }

    pub(crate) fn noise(&self) -> Option<&Noise> {
        self.noise.as_ref()
    }

    /// One plain causal sequence.
    pub fn sequence(ids: &[u32], device: &Device) -> Self {
        let positions: Vec<u32> = (0..ids.len() as u32).collect();
        Self::new(ids, &positions, 1, Mask::Causal, device)
    }
}

/// The network of one of the supported families.
#[derive(Module, Debug)]
pub enum Decoder {
    Gpt2(Gpt2),
    /// Llama, Mistral, Qwen 2.
    Llama(Llama),
    GptNeoX(GptNeoX),
    Falcon(Falcon),
}

impl Decoder {
    /// Final hidden states `[rows, width, embedding]`, normalised, ready for the output projection.
    pub fn hidden(&self, input: &Input, cache: Option<&mut KvCache>) -> Tensor<3> {
        match self {
            Self::Gpt2(model) => model.hidden(input, cache),
            Self::Llama(model) => model.hidden(input, cache),
            Self::GptNeoX(model) => model.hidden(input, cache),
            Self::Falcon(model) => model.hidden(input, cache),
        }
    }

    /// The output projection `[vocabulary, embedding]`. Where embeddings are trained under an adapter it is a copy:
    /// [`Decoder::output_rows`] and [`Decoder::logits`] make none.
    pub fn output(&self) -> Tensor<2> {
        self.output_embedding().table()
    }

    /// The output projection's rows of some tokens, `[tokens, embedding]`, for logits of these alone.
    pub fn output_rows(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        self.output_embedding().rows(tokens)
    }

    /// Logits `[…, vocabulary]` of hidden states `[…, embedding]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        self.output_embedding().scores(hidden)
    }

    fn output_embedding(&self) -> &Embedding {
        match self {
            Self::Gpt2(model) => model.output(),
            Self::Llama(model) => model.output(),
            Self::GptNeoX(model) => model.output(),
            Self::Falcon(model) => model.output(),
        }
    }

    /// The dense layers that an adapter can serve, by name.
    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        match self {
            Self::Gpt2(model) => model.linears_mut(),
            Self::Llama(model) => model.linears_mut(),
            Self::GptNeoX(model) => model.linears_mut(),
            Self::Falcon(model) => model.linears_mut(),
        }
    }

    /// The token embeddings, and the output projection where it is another matrix.
    pub(crate) fn embeddings_mut(&mut self) -> Vec<(String, &mut Embedding)> {
        match self {
            Self::Gpt2(model) => model.embeddings_mut(),
            Self::Llama(model) => model.embeddings_mut(),
            Self::GptNeoX(model) => model.embeddings_mut(),
            Self::Falcon(model) => model.embeddings_mut(),
        }
    }

    /// The logits of a few tokens for each row of `hidden` `[rows, embedding]`. Only their rows of the output matrix are
    /// read.
    pub fn selected_logits(&self, hidden: Tensor<2>, wanted: &[&[u32]]) -> Vec<Vec<f32>> {
        let output = self.output_embedding();
        if fused::on_cpu(&hidden) && output.trained.is_none() {
            return fused::selected_logits(hidden, output.weight.val(), wanted);
        }
        let (index, columns) = union(wanted.iter().copied().flatten().copied());
        let rows = output.rows(indices(&index, &hidden.device()));
        let values: Vec<f32> = hidden.matmul(rows.transpose()).into_data().iter::<f32>().collect();
        let rows = wanted.iter().zip(values.chunks_exact(columns.len().max(1)));
        rows.map(|(tokens, row)| tokens.iter().map(|token| row[columns[token] as usize]).collect()).collect()
    }

    /// Logits `[rows, tokens]` of hidden states `[rows, embedding]` over all tokens that some row allows, ascending;
    /// [`attention::HIDDEN`](crate::attention::HIDDEN) where the row itself doesn't. Only their rows of the output matrix
    /// are read.
    pub fn allowed_logits(&self, hidden: Tensor<2>, allowed: &[&[u32]]) -> Tensor<2> {
        let (index, columns) = union(allowed.iter().copied().flatten().copied());
        let rows = self.output_rows(indices(&index, &hidden.device()));
        let allowed: Vec<Vec<u32>> =
            allowed.iter().map(|tokens| tokens.iter().map(|token| columns[token]).collect()).collect();
        fused::allowed_logits(hidden, rows, &allowed)
    }

    /// The summed cross-entropy (nats) of `targets` behind the hidden states `[targets, embedding]`.
    pub fn vocabulary_loss(&self, hidden: Tensor<2>, targets: &[u32]) -> Tensor<1> {
        fused::vocabulary_loss(hidden, self.output_embedding().table(), targets)
    }

    /// As [`Decoder::vocabulary_loss`], where each target `(token, allowed)` is chosen among the tokens allowed and
    /// itself. Only their rows of the output matrix are read.
    pub fn allowed_loss(&self, hidden: Tensor<2>, targets: &[(u32, &[u32])]) -> Tensor<1> {
        let (index, columns) = union(targets.iter().flat_map(|(token, among)| among.iter().chain([token]).copied()));
        let rows = self.output_rows(indices(&index, &hidden.device()));
        let target = |(token, among): &(u32, &[u32])| {
            let mut among: Vec<u32> = among.iter().map(|token| columns[token]).collect();
            // Gold answers are allowed by construction; should a rule forbid one, the loss stays finite.
            if !among.contains(&columns[token]) {
                among.push(columns[token]);
            }
            (columns[token], among)
        };
        fused::allowed_loss(hidden, rows, targets.iter().map(target).collect())
    }
}

/// The distinct ones of some tokens in order, and at which place each stands.
fn union(tokens: impl Iterator<Item = u32>) -> (Vec<u32>, BTreeMap<u32, u32>) {
    let mut places: BTreeMap<u32, u32> = tokens.map(|token| (token, 0)).collect();
    places.values_mut().zip(0..).for_each(|(place, at)| *place = at);
    (places.keys().copied().collect(), places)
}

/// A decoder with its shape.
#[derive(Debug, Clone)]
pub struct LanguageModel {
    pub config: Config,
    pub decoder: Decoder,
    /// The shape of the adapter, where the model has one. Everything else is frozen then.
    pub(crate) adapter: Option<Adapter>,
    /// How the checkpoint that the model came from stores its parameters.
    origin: BTreeMap<String, Origin>,
}

/// The name of an adapter, which tells its parameters from those of others on the same base, and its shape.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    pub(crate) name: String,
    pub(crate) lora: LoraConfig,
}

impl LanguageModel {
    /// A fresh model. Every parameter's values depend on its name and the seed alone.
    pub fn random(config: Config, seed: u64, device: &Device) -> Result<Self, Error> {
        if let Some(reason) = config.unsupported() {
            return Err(Error::Config { path: "model".into(), reason });
        }
        let decoder = Self::build(&config, &mut Builder::random(seed, device))
            .map_err(|reason| Error::Config { path: "model".into(), reason })?;
        Ok(Self { config, decoder, adapter: None, origin: BTreeMap::new() })
    }

    /// Reads `config.json` and `model.safetensors` (or its shards) from a folder.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, Error> {
        let path = dir.join("config.json");
        let config = Config::read(&path)?;
        let checkpoint = Checkpoint::open(dir)?;
        let mut builder = Builder::checkpoint(&checkpoint, config.prefix(), device);
        let decoder = Self::build(&config, &mut builder).map_err(|reason| Error::Config { path, reason })?;
        Ok(Self { config, decoder, adapter: None, origin: builder.finish()? })
    }

    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Decoder, String> {
        let member = config.member();
        Ok(match config {
            Config::Gpt2(config) => Decoder::Gpt2(Gpt2::new(config, builder)),
            Config::Llama(config) | Config::Mistral(config) | Config::Qwen2(config) => {
                Decoder::Llama(Llama::new(config, member, builder)?)
            }
            Config::GptNeoX(config) => Decoder::GptNeoX(GptNeoX::new(config, builder)?),
            Config::Falcon(config) => Decoder::Falcon(Falcon::new(config, builder)?),
        })
    }

    /// The same model with other values in its parameters.
    #[must_use]
    pub fn with_decoder(&self, decoder: Decoder) -> Self {
        Self { decoder, ..self.clone() }
    }

    /// Writes what is trained: `config.json` and `model.safetensors` in f32, or the adapter alone.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        if self.adapter.is_some() {
            return self.save_adapter(dir, None);
        }
        self.write(dir, |path| Origin { name: self.config.full_name(path), dtype: Dtype::F32 })
    }

    /// The same model with what [`LanguageModel::save`] wrote in place of what is trained.
    pub fn restored(&self, dir: &Path) -> Result<Self, Error> {
        let Some(Adapter { name, .. }) = &self.adapter else { return Self::load(dir, &self.device()) };
        let mut base = self.clone();
        base.decoder.linears_mut().into_iter().for_each(|(_, layer)| layer.adapter = None);
        base.decoder.embeddings_mut().into_iter().for_each(|(_, embedding)| embedding.trained = None);
        base.adapter = None;
        base.load_adapter(dir, name)
    }

    /// Writes `config.json` and `model.safetensors` with the names and number formats of the checkpoint that the model
    /// came from: unchanged weights come out byte for byte as they went in.
    pub fn export(&self, dir: &Path) -> Result<(), Error> {
        self.write(dir, |path| match self.origin.get(path) {
            Some(origin) => origin.clone(),
            None => Origin { name: self.config.full_name(path), dtype: Dtype::F32 },
        })
    }

    fn write(&self, dir: &Path, origin: impl Fn(&str) -> Origin) -> Result<(), Error> {
        self.config.write(&dir.join("config.json"))?;
        // Of the network and not of the enum around it, whose variant would be a part of the names.
        let tensors = match &self.decoder {
            Decoder::Gpt2(model) => weights::collect(model, origin),
            Decoder::Llama(model) => weights::collect(model, origin),
            Decoder::GptNeoX(model) => weights::collect(model, origin),
            Decoder::Falcon(model) => weights::collect(model, origin),
        };
        weights::write(tensors, &dir.join("model.safetensors"))
    }

    /// Number of values that training changes.
    pub fn trained_parameters(&self) -> u64 {
        match &self.adapter {
            Some(_) => self.adapter_tensors().iter().map(Stored::values).sum::<usize>() as u64,
            None => self.config.parameters(),
        }
    }

    /// The device that the model lies on.
    pub fn device(&self) -> Device {
        self.decoder.devices().into_iter().next().unwrap_or_else(Device::flex)
    }

    /// Fails where the tokenizer gives ids that the model has no embedding for.
    pub fn check_tokenizer(&self, tokenizer: &Tokenizer) -> Result<(), Error> {
        let (tokenizer, model) = (tokenizer.vocab_size(), self.config.vocab_size());
        if tokenizer > model { Err(Error::VocabularyMismatch { tokenizer, model }) } else { Ok(()) }
    }

    /// The same model with embeddings for tokens that were added to its vocabulary, up to `vocabulary` of them. They begin
    /// as the mean of the others with some noise, the same in every training.
    #[must_use]
    pub fn with_vocabulary(mut self, vocabulary: usize) -> Self {
        let old = self.config.vocab_size();
        if vocabulary <= old {
            return self;
        }
        let new = vocabulary - old;
        for (name, embedding) in self.decoder.embeddings_mut() {
            let table = embedding.weight.val();
            let [_, width] = table.dims();
            let noise = weights::fresh(0, &format!("{name} of new tokens"), &[new, width], Init::Normal(0.02));
            let rows = Tensor::<2>::from_data(noise, &table.device()) + table.clone().mean_dim(0);
            embedding.weight = embedding.weight.clone().map(|_| Tensor::cat(vec![table, rows], 0));
        }
        *self.config.vocab_size_mut() = vocabulary;
        self
    }

    /// Fails where the model can't read a sequence: a token that it doesn't know, or more of them than its context.
    pub fn check_ids(&self, ids: &[u32]) -> Result<(), Error> {
        let (vocabulary, context) = (self.config.vocab_size(), self.config.context());
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::UnknownToken { id, vocabulary });
        }
        if ids.len() > context { Err(Error::TooLong { length: ids.len(), context }) } else { Ok(()) }
    }

    /// Logits of the last position of one sequence, `[vocabulary]`.
    pub fn last_logits(&self, ids: &[u32], device: &Device) -> Vec<f32> {
        let hidden = self.decoder.hidden(&Input::sequence(ids, device), None);
        let [_, length, width] = hidden.dims();
        let last = hidden.slice([0..1, length - 1..length, 0..width]);
        self.decoder.logits(last).into_data().iter::<f32>().collect()
    }
}
