//! Stand-ins for the world: datasets, models and files that are known by name alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inerd_experiment::{
    Backend, BaseModel, Dataset, Experiment, Files, Fingerprint, InputError, Inputs, LoadError, SplitSize, Text,
};

/// Knows every dataset and model; the fingerprint is the name's hash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    pub(crate) backend: Backend,
    /// Datasets and models that aren't at hand.
    pub(crate) absent: Vec<String>,
    /// Names that nobody knows.
    pub(crate) unknown: Vec<String>,
    /// Datasets whose content changed.
    pub(crate) changed: Vec<String>,
}

impl Fake {
    fn check(&self, name: &str) -> Result<(Fingerprint, bool), InputError> {
        if self.unknown.iter().any(|unknown| unknown == name) {
            let help = "add a card".to_owned();
            return Err(InputError { message: format!("nothing is called {name}"), help });
        }
        let changed = self.changed.iter().any(|changed| changed == name);
        let content = if changed { format!("{name} changed") } else { name.to_owned() };
        Ok((Fingerprint::of(content), !self.absent.iter().any(|absent| absent == name)))
    }
}

impl Inputs for Fake {
    fn dataset(&self, name: &str) -> Result<Dataset, InputError> {
        let (fingerprint, present) = self.check(name)?;
        let size = |sentences: usize| SplitSize { sentences, words: sentences * 18, entities: sentences };
        Ok(Dataset { fingerprint, present, train: size(3000), valid: size(500), test: size(1000) })
    }

    fn model(&self, path: &str) -> Result<BaseModel, InputError> {
        let (fingerprint, present) = self.check(path)?;
        let large = path.contains("7b") || path.contains("13b");
        let parameters = if large { 7_000_000_000 } else { 124_000_000 };
        Ok(BaseModel { fingerprint, present, parameters, layers: 12, width: 768, vocabulary: 50_257, context: 1024 })
    }

    fn corpus(&self, name: &str) -> Result<Text, InputError> {
        let (fingerprint, present) = self.check(name)?;
        Ok(Text { fingerprint, present, bytes: 60_000_000 })
    }

    fn file(&self, path: &str) -> Result<Fingerprint, InputError> {
        self.check(path).map(|(fingerprint, _)| fingerprint)
    }

    fn backend(&self) -> Backend {
        self.backend
    }
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

/// Reads a text as `test.toml`.
pub(crate) fn read(text: &str) -> Result<Experiment, LoadError> {
    read_with(text, &[])
}

pub(crate) fn read_with(text: &str, overrides: &[(&str, &str)]) -> Result<Experiment, LoadError> {
    let files = Memory(BTreeMap::from([(PathBuf::from("test.toml"), text.to_owned())]));
    let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Experiment::read("test.toml", &overrides, &files)
}

/// Every problem as `line:column message | help`.
pub(crate) fn problems(text: &str) -> Vec<String> {
    let Err(error) = read(text) else { return Vec::new() };
    error
        .problems
        .iter()
        .map(|p| {
            let (line, column) = p.position().unwrap_or_default();
            format!("{line}:{column} {} | {}", p.message(), p.advice().unwrap_or(""))
        })
        .collect()
}

/// The folder of committed experiments.
pub(crate) fn experiments() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments"))
}
