//! What a plan asks about the world, and the answers.

use std::collections::BTreeMap;

use crate::define::Names;
use crate::fingerprint::Fingerprint;
use crate::stage::InputRef;

/// What a plan must know about the world: the content of its inputs. Implemented over dataset cards and model folders
/// by the runner, and by tables in tests; the plan itself reads nothing.
pub trait Inputs {
    /// A dataset, by name.
    fn dataset(&self, name: &str) -> Result<Dataset, InputError>;
    /// A pretrained model, by name or path.
    fn model(&self, path: &str) -> Result<BaseModel, InputError>;
    /// A plain-text corpus for pre-training, by name.
    fn corpus(&self, name: &str) -> Result<Text, InputError>;
    /// The hash of a file, such as a `tokenizer.json`.
    fn file(&self, path: &str) -> Result<Fingerprint, InputError>;
    /// The device's class.
    fn backend(&self) -> Backend {
        Backend::Cpu
    }
}

/// The class of the device that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    #[default]
    Cpu,
    Cuda,
}

impl Backend {
    /// The class's name in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// Facts about a dataset. Sizes serve the prediction of cost; zeros mean "unknown".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Hash of the content, or of what its card promises where the data aren't at hand.
    pub fingerprint: Fingerprint,
    /// Whether the data are at hand.
    pub present: bool,
    pub train: SplitSize,
    pub valid: SplitSize,
    pub test: SplitSize,
}

/// Size of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitSize {
    pub sentences: usize,
    /// Words, as the dataset has them.
    pub words: usize,
    pub entities: usize,
}

/// Facts about a pretrained model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseModel {
    /// Hash of configuration, weights and tokenizer.
    pub fingerprint: Fingerprint,
    pub present: bool,
    pub parameters: u64,
    pub layers: usize,
    pub width: usize,
    pub vocabulary: usize,
    pub context: usize,
}

/// Facts about a plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub fingerprint: Fingerprint,
    pub present: bool,
    pub bytes: u64,
}

/// An input that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InputError {
    pub message: String,
    /// What to do.
    pub help: String,
}

/// An unknown input's stand-in: a plan with one is never handed out.
const NOTHING: Fingerprint = Fingerprint::from_bytes([0; 32]);

/// [`Inputs`], each asked once; what nobody knows is collected.
pub(crate) struct World<'a> {
    pub(crate) inputs: &'a dyn Inputs,
    datasets: BTreeMap<String, Option<Dataset>>,
    models: BTreeMap<String, Option<BaseModel>>,
    texts: BTreeMap<String, Option<Text>>,
    files: BTreeMap<String, Option<Fingerprint>>,
    pub(crate) unknown: BTreeMap<String, InputError>,
}

/// Named inputs, and those of them that aren't at hand.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) refs: Vec<InputRef>,
    pub(crate) missing: Vec<String>,
}

impl<'a> World<'a> {
    pub(crate) fn new(inputs: &'a dyn Inputs) -> Self {
        Self {
            inputs,
            datasets: BTreeMap::new(),
            models: BTreeMap::new(),
            texts: BTreeMap::new(),
            files: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    pub(crate) fn dataset(&mut self, name: &str) -> Option<&Dataset> {
        if !self.datasets.contains_key(name) {
            let found = self.inputs.dataset(name);
            let found = self.note(format!("dataset {name}"), found);
            self.datasets.insert(name.to_owned(), found);
        }
        self.datasets.get(name)?.as_ref()
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<&Text> {
        if !self.texts.contains_key(name) {
            let found = self.inputs.corpus(name);
            let found = self.note(format!("corpus {name}"), found);
            self.texts.insert(name.to_owned(), found);
        }
        self.texts.get(name)?.as_ref()
    }

    pub(crate) fn model(&mut self, path: &str) -> Option<&BaseModel> {
        if !self.models.contains_key(path) {
            let found = self.inputs.model(path);
            let found = self.note(format!("model {path}"), found);
            self.models.insert(path.to_owned(), found);
        }
        self.models.get(path)?.as_ref()
    }

    pub(crate) fn file(&mut self, path: &str) -> Fingerprint {
        if !self.files.contains_key(path) {
            let found = self.inputs.file(path);
            let found = self.note(format!("file {path}"), found);
            self.files.insert(path.to_owned(), found);
        }
        self.files.get(path).copied().flatten().unwrap_or(NOTHING)
    }

    pub(crate) fn dataset_refs<S: AsRef<str>>(&mut self, names: &[S]) -> Asked {
        let mut asked = Asked::default();
        for name in names {
            let found = self.dataset(name.as_ref()).map(|dataset| (dataset.fingerprint, dataset.present));
            asked.add("dataset", name.as_ref(), found);
        }
        asked
    }

    pub(crate) fn text_refs(&mut self, names: &Names) -> Asked {
        let mut asked = Asked::default();
        for name in names.iter() {
            let found = self.text(name).map(|text| (text.fingerprint, text.present));
            asked.add("corpus", name, found);
        }
        asked
    }

    pub(crate) fn model_ref(&mut self, path: &str) -> Asked {
        let mut asked = Asked::default();
        let found = self.model(path).map(|model| (model.fingerprint, model.present));
        asked.add("model", path, found);
        asked
    }

    fn note<T>(&mut self, what: String, found: Result<T, InputError>) -> Option<T> {
        found.map_err(|error| self.unknown.insert(what, error)).ok()
    }
}

impl Asked {
    fn add(&mut self, what: &str, name: &str, found: Option<(Fingerprint, bool)>) {
        if matches!(found, Some((_, false))) {
            self.missing.push(format!("{what} {name}"));
        }
        let fingerprint = found.map_or(NOTHING, |(fingerprint, _)| fingerprint);
        self.refs.push(InputRef { name: name.to_owned(), fingerprint });
    }

    /// The one input that was asked for.
    pub(crate) fn only(self) -> InputRef {
        self.refs.into_iter().next().unwrap_or(InputRef { name: String::new(), fingerprint: NOTHING })
    }
}
