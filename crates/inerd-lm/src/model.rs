use std::path::Path;

use burn::module::Module;
use burn::tensor::module::linear;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::Mask;
use crate::cache::KvCache;
use crate::config::Config;
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
