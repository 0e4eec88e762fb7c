use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::Mask;
use crate::cache::KvCache;
use crate::config::Config;
use crate::fused::{self, linear};
use crate::gpt2::Gpt2;
use crate::weights::{self, Builder, Checkpoint};
use crate::{Error, Tokenizer};

/// A batch of token ids with their positions and what may see what.
#[derive(Debug, Clone)]
pub struct Input {
    /// `[rows, width]`
    pub ids: Tensor<2, Int>,
    /// `[rows, width]`, each position within its own sequence.
    pub positions: Tensor<2, Int>,
    pub mask: Mask,
}

impl Input {
    /// Rows of `width` ids each, row by row.
    pub fn new(ids: &[u32], positions: &[u32], rows: usize, mask: Mask, device: &Device) -> Self {
        let tensor = |values: &[u32]| {
            let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
            let width = values.len() / rows;
            Tensor::<2, Int>::from_data(TensorData::new(values, [rows, width]), device)
        };
        Self { ids: tensor(ids), positions: tensor(positions), mask }
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
}

impl Decoder {
    /// Final hidden states `[rows, width, embedding]`, normalised, ready for the output projection.
    pub fn hidden(&self, input: &Input, cache: Option<&mut KvCache>) -> Tensor<3> {
        match self {
            Self::Gpt2(model) => model.hidden(input, cache),
        }
    }

    /// The output projection `[vocabulary, embedding]`; its rows can be gathered so that only some logits are computed.
    pub fn output(&self) -> Tensor<2> {
        match self {
            Self::Gpt2(model) => model.output(),
        }
    }

    /// Logits `[…, vocabulary]` of hidden states `[…, embedding]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        linear(hidden, self.output().transpose(), None)
    }

    /// The logits of a few tokens for each row of `hidden` `[rows, embedding]`. Only their rows of the output matrix are
    /// read.
    pub fn selected_logits(&self, hidden: Tensor<2>, wanted: &[&[u32]]) -> Vec<Vec<f32>> {
        if fused::on_cpu(&hidden) {
            return fused::selected_logits(hidden, self.output(), wanted);
        }
        let (index, columns) = union(wanted.iter().copied().flatten().copied());
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [columns.len()]), &hidden.device());
        let logits = linear(hidden, self.output().select(0, index).transpose(), None);
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let rows = wanted.iter().zip(values.chunks_exact(columns.len().max(1)));
        rows.map(|(tokens, row)| tokens.iter().map(|token| row[columns[token] as usize]).collect()).collect()
    }

    /// The summed cross-entropy (nats) of `targets` behind the hidden states `[targets, embedding]`.
    pub fn vocabulary_loss(&self, hidden: Tensor<2>, targets: &[u32]) -> Tensor<1> {
        fused::vocabulary_loss(hidden, self.output(), targets)
    }

    /// As [`Decoder::vocabulary_loss`], where each target `(token, allowed)` is chosen among the tokens allowed and
    /// itself. Only their rows of the output matrix are read.
    pub fn allowed_loss(&self, hidden: Tensor<2>, targets: &[(u32, &[u32])]) -> Tensor<1> {
        let (index, columns) = union(targets.iter().flat_map(|(token, among)| among.iter().chain([token]).copied()));
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [columns.len()]), &hidden.device());
        let target = |(token, among): &(u32, &[u32])| {
            let mut among: Vec<u32> = among.iter().map(|token| columns[token]).collect();
            // Gold answers are allowed by construction; should a rule forbid one, the loss stays finite.
            if !among.contains(&columns[token]) {
                among.push(columns[token]);
            }
            (columns[token], among)
        };
        fused::allowed_loss(hidden, self.output().select(0, index), targets.iter().map(target).collect())
    }
}

/// The distinct ones of some tokens in order, and at which place each stands.
fn union(tokens: impl Iterator<Item = u32>) -> (Vec<i32>, BTreeMap<u32, u32>) {
    let mut places: BTreeMap<u32, u32> = tokens.map(|token| (token, 0)).collect();
    places.values_mut().zip(0..).for_each(|(place, at)| *place = at);
    (places.keys().map(|&token| token as i32).collect(), places)
}

/// A decoder with its shape.
#[derive(Debug, Clone)]
pub struct LanguageModel {
    pub config: Config,
    pub decoder: Decoder,
}

impl LanguageModel {
    /// A fresh model. Every parameter's values depend on its name and the seed alone.
    pub fn random(config: Config, seed: u64, device: &Device) -> Result<Self, Error> {
        if let Some(reason) = config.unsupported() {
            return Err(Error::Config { path: "model".into(), reason });
        }
        let mut builder = Builder::random(seed, device);
        Ok(Self { decoder: Self::build(&config, &mut builder), config })
    }

    /// Reads `config.json` and `model.safetensors` (or its shards) from a folder.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, Error> {
        let config = Config::read(&dir.join("config.json"))?;
        let checkpoint = Checkpoint::open(dir)?;
        let mut builder = Builder::checkpoint(&checkpoint, device);
        let decoder = Self::build(&config, &mut builder);
        builder.finish()?;
        Ok(Self { config, decoder })
    }

    fn build(config: &Config, builder: &mut Builder<'_>) -> Decoder {
        match config {
            Config::Gpt2(config) => Decoder::Gpt2(Gpt2::new(config, builder)),
        }
    }

    /// Writes `config.json` and `model.safetensors`.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join("config.json");
        let json =
            serde_json::to_vec_pretty(&self.config).map_err(|source| Error::Json { path: path.clone(), source })?;
        std::fs::write(&path, json).map_err(Error::write(&path))?;
        let path = dir.join("model.safetensors");
        match &self.decoder {
            Decoder::Gpt2(model) => weights::save(model, "", &path),
        }
    }

    /// Fails where the tokenizer gives ids that the model has no embedding for.
    pub fn check_tokenizer(&self, tokenizer: &Tokenizer) -> Result<(), Error> {
        let (tokenizer, model) = (tokenizer.vocab_size(), self.config.vocab_size());
        if tokenizer > model { Err(Error::VocabularyMismatch { tokenizer, model }) } else { Ok(()) }
    }

    /// Logits of the last position of one sequence, `[vocabulary]`.
    pub fn last_logits(&self, ids: &[u32], device: &Device) -> Vec<f32> {
        let hidden = self.decoder.hidden(&Input::sequence(ids, device), None);
        let [_, length, width] = hidden.dims();
        let last = hidden.slice([0..1, length - 1..length, 0..width]);
        self.decoder.logits(last).into_data().iter::<f32>().collect()
    }
}
