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

/// Real datasets: training sentences, words and entities, test sentences.
const SIZES: &[(&str, usize, usize, usize, usize)] = &[
    ("wnut17", 3_394, 62_730, 1_975, 1_287),
    ("bc5cdr", 4_560, 118_170, 9_385, 4_797),
    ("ncbi-disease", 5_424, 135_701, 5_134, 940),
    ("bionlp13cg", 3_033, 83_467, 10_826, 1_906),
    ("snips", 13_084, 124_600, 33_900, 700),
    ("restaurant8k", 8_198, 72_993, 7_635, 3_731),
    ("btc", 6_338, 101_000, 10_000, 2_000),
    ("gmb", 38_367, 838_860, 89_500, 4_796),
    ("fin", 1_164, 41_010, 1_168, 303),
    ("kpi-edgar", 996, 40_122, 3_376, 248),
    ("stackoverflow", 14_545, 164_804, 13_460, 4_940),
    ("multiconer2-en", 16_778, 253_011, 25_449, 871),
    ("multiconer2-bn", 9_365, 125_222, 12_465, 472),
    ("multiconer2-hi", 9_632, 159_454, 12_870, 514),
    ("crossner-ai", 100, 3_782, 532, 431),
    ("crossner-literature", 100, 3_782, 541, 416),
    ("crossner-music", 100, 3_909, 648, 465),
    ("crossner-politics", 200, 8_384, 1_304, 651),
    ("crossner-science", 200, 7_100, 1_075, 543),
    ("hands-wfb", 446, 12_144, 1_216, 536),
    ("sgd", 223_756, 2_647_357, 159_478, 49_726),
    ("conll2003", 14_041, 203_621, 23_499, 3_453),
    ("ontonotes5", 59_924, 1_088_503, 81_828, 8_262),
    ("few-nerd", 131_767, 3_227_000, 340_247, 37_648),
    ("jnlpba", 18_546, 492_551, 51_301, 3_856),
    ("finer-ord", 3_262, 80_531, 2_600, 1_075),
    ("synth-news", 800, 12_800, 1_600, 200),
    ("synth-bio", 700, 11_200, 1_400, 200),
    ("synth-social", 600, 9_600, 1_200, 200),
];

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
        let known = SIZES.iter().find(|size| size.0 == name);
        let (_, sentences, words, entities, test) = *known.unwrap_or(&("", 3000, 54_000, 3000, 1000));
        let size =
            |n: usize| SplitSize { sentences: n, words: words * n / sentences, entities: entities * n / sentences };
        Ok(Dataset { fingerprint, present, train: size(sentences), valid: size(test / 2), test: size(test) })
    }

    fn model(&self, path: &str) -> Result<BaseModel, InputError> {
        let (fingerprint, present) = self.check(path)?;
        if let Some(known) = inerd_experiment::known_model(path) {
            return Ok(BaseModel { fingerprint, present, ..known });
        }
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
