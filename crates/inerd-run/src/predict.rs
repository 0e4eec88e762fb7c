//! A trained model at work on new text, outside any plan.

use std::path::PathBuf;
use std::sync::Arc;

use inerd_experiment::{Fingerprint, Format, Granularity, Rules};
use inerd_lm::Tokenizer;
use inerd_text::{Generation, Schema, Sentence};

use crate::stages::answer::{Answering, Strategy};
use crate::stages::corpus::SCHEMA;
use crate::stages::generate;
use crate::stages::tokenizer::TOKENIZER;
use crate::stages::weights::{self, MODEL};
use crate::{Context, Error, Store};

/// What is predicted, and how.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// A folder with configuration, weights and tokenizer.
    pub model: PathBuf,
    pub schema: Schema,
    pub format: Format,
    pub rules: Rules,
    pub max_new_tokens: usize,
    pub batch: usize,
}

impl Prediction {
    /// The entities of each text, in order.
    pub fn answer(
        &self,
        texts: &[String],
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Generation>, Error> {
        let model = weights::load_dir(context, &self.model)?;
        let tokenizer = Arc::new(Tokenizer::load(&self.model.join(TOKENIZER), model.config.eos_token())?);
        model.check_tokenizer(&tokenizer)?;
        let sentences: Vec<Sentence> = texts
            .iter()
            .enumerate()
            .map(|(i, text)| Sentence { id: format!("line {}", i + 1), text: text.clone(), ..Sentence::default() })
            .collect();
        let answering = Answering {
            model: &model,
            tokenizer: &tokenizer,
            codec: &generate::codec(&tokenizer, &self.format, self.schema.clone())?,
            rules: generate::rules(&self.rules, Granularity::Token)?,
            // New text belongs to no corpus.
            cued: false,
            strategy: Strategy::Greedy,
            max_new_tokens: self.max_new_tokens,
            gold_length: None,
            batch: self.batch,
        };
        answering.answer(&sentences, context, progress)
    }
}

/// A trained model of the store by the beginning of its stage's fingerprint: its folder and the types it was trained on.
pub fn trained_model(store: &Store, prefix: &str) -> Result<(PathBuf, Schema), Error> {
    let mut found = Vec::new();
    for id in store.artefacts()? {
        if id.to_string().starts_with(prefix) && store.get(id)?.path(MODEL).is_dir() {
            found.push(id);
        }
    }
    match found.as_slice() {
        [id] => {
            let artefact = store.get(*id)?;
            Ok((artefact.path(MODEL), schema_of(store, &artefact.manifest.parents)?))
        }
        [] => Err(Error::Unsupported(format!("no trained model in the store begins with `{prefix}`"))),
        several => Err(Error::Unsupported(format!(
            "`{prefix}` is the beginning of {} trained models: {}",
            several.len(),
            several.iter().map(Fingerprint::short).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn schema_of(store: &Store, parents: &[Fingerprint]) -> Result<Schema, Error> {
    for parent in parents {
        let artefact = store.get(*parent)?;
        if artefact.path(SCHEMA).is_file() {
            return artefact.json(SCHEMA);
        }
    }
    Ok(Schema::default())
}
