//! What a plan must know of datasets and models, read from cards and folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use inerd_corpus::{Card, Corpus};
use inerd_experiment::{
    Backend, BaseModel, Dataset, Fingerprint, InputError, InputRef, Inputs, SplitSize, Text, known_model,
};
use inerd_lm::Config;
use inerd_text::Sentence;

use crate::Error;

/// Inputs as the disk has them.
#[derive(Debug, Clone, Default)]
pub struct FileInputs {
    /// One subfolder per dataset that isn't shipped.
    pub data_dir: Option<PathBuf>,
    /// The user's own dataset cards, `<name>.toml`, before those that the program carries.
    pub cards: Option<PathBuf>,
    /// One subfolder per model.
    pub models_dir: Option<PathBuf>,
    /// Plain texts to pre-train on, `<name>.txt` or `<name>.txt.zst`.
    pub texts_dir: Option<PathBuf>,
    pub backend: Backend,
    /// Inputs whose content was compared with the plan's.
    pub compared: Arc<Mutex<BTreeSet<(String, String, Fingerprint)>>>,
}

impl FileInputs {
    /// The folder of a model: a path, or a name below the models' folder.
    pub fn model_dir(&self, name: &str) -> PathBuf {
        let path = PathBuf::from(name);
        match &self.models_dir {
            Some(models) if !path.exists() => models.join(name),
            _ => path,
        }
    }

    /// The card of a dataset.
    pub fn card(&self, name: &str) -> inerd_corpus::Result<Card> {
        Card::find(name, self.cards.as_deref())
    }

    /// The file of a plain text, where it is at hand.
    pub fn text_file(&self, name: &str) -> Option<PathBuf> {
        let dir = self.texts_dir.as_ref()?;
        ["txt", "txt.zst"].iter().map(|ending| dir.join(format!("{name}.{ending}"))).find(|path| path.is_file())
    }

    /// Whether an input still has the content that was planned with. A file that somebody changes while a sweep runs must
    /// not end up under the old one's name. Each input is hashed once per process.
    pub(crate) fn unchanged(&self, what: &str, planned: &InputRef) -> Result<(), Error> {
        let key = (what.to_owned(), planned.name.clone(), planned.fingerprint);
        let known = || self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&key) {
            return Ok(());
        }
        let now = match what {
            "dataset" => {
                let card = self.card(&planned.name)?;
                Fingerprint::from_bytes(inerd_corpus::fingerprint(&card, self.data_dir.as_deref())?)
            }
            "model" => {
                self.model(&planned.name).map_err(|e| Error::Unsupported(format!("{e}: {}", e.help)))?.fingerprint
            }
            _ => self.corpus(&planned.name).map_err(|e| Error::Unsupported(format!("{e}: {}", e.help)))?.fingerprint,
        };
        if now != planned.fingerprint {
            return Err(Error::InputChanged { what: what.to_owned(), name: planned.name.clone() });
        }
        known().insert(key);
        Ok(())
    }

    /// How to get an input that isn't at hand, as a plan calls it (`dataset wnut17`); `None` where it is.
    pub fn missing(&self, input: &str) -> Option<String> {
        let (what, name) = input.split_once(' ')?;
        match what {
            "dataset" => {
                let card = self.card(name).ok()?;
                inerd_corpus::fingerprint(&card, self.data_dir.as_deref()).err().map(|e| e.to_string())
            }
            "model" => Some(format!(
                "put config.json, tokenizer.json and model.safetensors of `{name}` into `{}`; --models-dir or \
                 INERD_MODELS names the folder of all models",
                self.model_dir(name).display()
            )),
            _ => Some(format!("put `{name}.txt` into the folder that --texts-dir or INERD_TEXTS names")),
        }
    }
}

impl Inputs for FileInputs {
    fn dataset(&self, name: &str) -> Result<Dataset, InputError> {
        let unknown = |e: inerd_corpus::Error| InputError {
            message: format!("the dataset `{name}` is unknown"),
            help: e.to_string(),
        };
        let card = self.card(name).map_err(unknown)?;
        let data_dir = self.data_dir.as_deref();
        let at_hand = inerd_corpus::fingerprint(&card, data_dir)
            .and_then(|fingerprint| inerd_corpus::load(&card, data_dir).map(|corpus| (fingerprint, corpus)));
        match at_hand {
            Ok((fingerprint, Corpus { train, valid, test, .. })) => Ok(Dataset {
                fingerprint: Fingerprint::from_bytes(fingerprint),
                present: true,
                train: size(&train),
                valid: size(&valid),
                test: size(&test),
            }),
            Err(inerd_corpus::Error::MissingData { .. }) => Ok(Dataset {
                // What the card promises: the checksums of the files that should be there.
                fingerprint: Fingerprint::of(serde_json::to_vec(&card).unwrap_or_default()),
                present: false,
                train: SplitSize::default(),
                valid: SplitSize::default(),
                test: SplitSize::default(),
            }),
            Err(error) => {
                Err(InputError { message: format!("the dataset `{name}` can't be read"), help: error.to_string() })
            }
        }
    }

    fn model(&self, path: &str) -> Result<BaseModel, InputError> {
        let dir = self.model_dir(path);
        let problem = |message: String| InputError {
            message,
            help: format!("`{}` should hold config.json, tokenizer.json and model.safetensors", dir.display()),
        };
        if !dir.is_dir() {
            // Known by name only: it can be planned, not run.
            return Ok(known_model(path).unwrap_or_else(|| BaseModel {
                fingerprint: Fingerprint::of(format!("absent model {path}")),
                present: false,
                parameters: 0,
                layers: 0,
                width: 0,
                vocabulary: 0,
                context: 0,
            }));
        }
        let config = Config::read(&dir.join("config.json")).map_err(|e| problem(e.to_string()))?;
        Ok(BaseModel {
            fingerprint: hash_files(&dir).map_err(|e| problem(e.to_string()))?,
            present: true,
            parameters: config.parameters(),
            layers: config.layers(),
            width: config.width(),
            vocabulary: config.vocab_size(),
            context: config.context(),
        })
    }

    fn corpus(&self, name: &str) -> Result<Text, InputError> {
        let Some(path) = self.text_file(name) else {
            return Ok(Text { fingerprint: Fingerprint::of(format!("text {name}")), present: false, bytes: 0 });
        };
        let problem = |e: std::io::Error| InputError {
            message: format!("the text `{}` can't be read", path.display()),
            help: e.to_string(),
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update_mmap_rayon(&path).map_err(problem)?;
        let bytes = fs::metadata(&path).map_err(problem)?.len();
        Ok(Text { fingerprint: Fingerprint::from_bytes(*hasher.finalize().as_bytes()), present: true, bytes })
    }

    fn file(&self, path: &str) -> Result<Fingerprint, InputError> {
        fs::read(path).map(Fingerprint::of).map_err(|e| InputError {
            message: format!("`{path}` can't be read: {e}"),
            help: "give the path of a tokenizer.json".to_owned(),
        })
    }

    fn backend(&self) -> Backend {
        self.backend
    }
}

fn size(sentences: &[Sentence]) -> SplitSize {
    SplitSize {
        sentences: sentences.len(),
        words: sentences.iter().map(|s| s.tokens.len()).sum(),
        entities: sentences.iter().map(|s| s.entities.len()).sum(),
    }
}

/// BLAKE3 over names and contents of a model folder's configuration, tokenizer and weights.
fn hash_files(dir: &Path) -> std::io::Result<Fingerprint> {
    let mut names: Vec<PathBuf> = fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    names.sort();
    let mut hasher = blake3::Hasher::new();
    for path in names {
        let counts = path.extension().is_some_and(|e| e == "json" || e == "safetensors");
        if counts && path.is_file() {
            hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hasher.update_mmap_rayon(&path)?;
        }
    }
    Ok(Fingerprint::from_bytes(*hasher.finalize().as_bytes()))
}
