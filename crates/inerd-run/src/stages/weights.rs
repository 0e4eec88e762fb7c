//! The weights of a model on disk: all of them, or an adapter beside a note of what it belongs to.
//!
//! ```text
//! model/
//!   config.json  tokenizer.json
//!   model.safetensors                              of a model that was trained as a whole
//!   adapter_config.json  adapter_model.safetensors  base.json   of one with a low-rank adapter
//! ```

use std::fs;
use std::path::Path;

use inerd_experiment::Weights;
use inerd_lm::{ADAPTER_CONFIG, Config, LanguageModel};

use crate::{Context, Error};

/// The folder of a training artefact that holds configuration, weights and tokenizer.
pub const MODEL: &str = "model";
/// The [`Weights`] that an adapter belongs to.
const BASE: &str = "base.json";
/// The name of the adapter that a stage trains.
pub(crate) const ADAPTER: &str = "default";

/// The weights of a trained or pretrained model, an adapter worked in.
pub(crate) fn load(context: &Context, weights: &Weights) -> Result<LanguageModel, Error> {
    match weights {
        Weights::Stage(id) => load_dir(context, &context.store.get(*id)?.path(MODEL)),
        Weights::Model(model) => {
            context.inputs.unchanged("model", model)?;
            load_dir(context, &context.inputs.model_dir(&model.name))
        }
        Weights::Random(_) => Err(Error::Bug("random weights are made by a training stage".to_owned())),
    }
}

/// The weights in a folder, an adapter worked in.
pub(crate) fn load_dir(context: &Context, dir: &Path) -> Result<LanguageModel, Error> {
    match load_adapter(context, dir)? {
        Some((model, _)) => Ok(model.merged()),
        None => Ok(LanguageModel::load(dir, &context.device)?),
    }
}

/// A model with the adapter that a folder holds, and what it belongs to; `None` where the folder holds whole weights.
pub(crate) fn load_adapter(context: &Context, dir: &Path) -> Result<Option<(LanguageModel, Weights)>, Error> {
    if !dir.join(ADAPTER_CONFIG).exists() {
        return Ok(None);
    }
    let path = dir.join(BASE);
    let text = fs::read(&path).map_err(Error::store(&path))?;
    let base: Weights = serde_json::from_slice(&text).map_err(|e| Error::store(&path)(e.into()))?;
    let config = Config::read(&dir.join("config.json"))?;
    let model = match &base {
        Weights::Random(seed) => LanguageModel::random(config, *seed, &context.device)?,
        // Separators may have been added to the base's vocabulary.
        Weights::Model(_) | Weights::Stage(_) => load(context, &base)?.with_vocabulary(config.vocab_size()),
    };
    Ok(Some((model.load_adapter(dir, ADAPTER)?, base)))
}

/// Writes a trained model; of one with an adapter, the adapter and what it belongs to.
pub(crate) fn save(context: &Context, model: &LanguageModel, base: Option<&Weights>, dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::store(dir))?;
    let Some(base) = base else { return Ok(model.save(dir)?) };
    // For readers other than this program.
    let place = match base {
        Weights::Stage(id) => context.store.get(*id)?.path(MODEL).display().to_string(),
        Weights::Model(model) => model.name.clone(),
        Weights::Random(seed) => format!("random weights of seed {seed}"),
    };
    model.save_adapter(dir, Some(&place))?;
    model.config.write(&dir.join("config.json"))?;
    let path = dir.join(BASE);
    let json = serde_json::to_vec(base).map_err(|e| Error::store(&path)(e.into()))?;
    fs::write(&path, json).map_err(Error::store(&path))
}
