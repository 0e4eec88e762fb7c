//! From a card to a corpus in memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use inerd_text::{Schema, Sentence};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::card::{Card, DataFile, Split};
use crate::naming::natural_words;
use crate::reader::{Reader, read_file};
use crate::report::{FileReport, ReadReport};
use crate::stream::stream;
use crate::{Error, Result, source, synth};

/// Sentences in three splits and the types that they are annotated with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corpus {
    pub name: String,
    /// The card's types and all that any split holds.
    pub schema: Schema,
    pub train: Vec<Sentence>,
    pub valid: Vec<Sentence>,
    pub test: Vec<Sentence>,
    pub report: ReadReport,
}

impl Corpus {
    /// The three splits with their names.
    pub fn splits(&self) -> [(&'static str, &[Sentence]); 3] {
        [("train", &self.train), ("valid", &self.valid), ("test", &self.test)]
    }

    pub(crate) fn splits_mut(&mut self) -> [&mut Vec<Sentence>; 3] {
        [&mut self.train, &mut self.valid, &mut self.test]
    }
}

/// Reads the corpus of a card. `data_dir` holds one folder per dataset; a synthetic corpus needs none.
pub fn load(card: &Card, data_dir: Option<&Path>) -> Result<Corpus> {
    if let Some(synthesis) = &card.synthesis {
        let mut corpus = synth::generate(&card.name, synthesis)?;
        let words = |label: &str| card.types.get(label).cloned();
        for sentence in corpus.splits_mut().into_iter().flatten() {
            for entity in &mut sentence.entities {
                if let Some(words) = words(&entity.kind) {
                    entity.kind = words;
                }
            }
        }
        corpus.schema = Schema::new(corpus.schema.types().iter().map(|t| words(t).unwrap_or_else(|| t.clone())));
        return Ok(corpus);
    }
    let (folder, reader) = sources(card, data_dir)?;
    let read: Vec<(Vec<Sentence>, FileReport)> =
        card.files.par_iter().map(|file| read_file(reader, &folder, file)).collect::<Result<_>>()?;
    Ok(assemble(card, read))
}

/// BLAKE3 of everything that the corpus is made of: what the card says of reading, and the bytes of its files
/// (uncompressed), or, for a synthetic corpus, its recipe, its grammar and the generator's version.
///
/// What a card tells people (its licence, its notes) and where the files lie make no difference.
pub fn fingerprint(card: &Card, data_dir: Option<&Path>) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let Card { name, reader, splits, drop_sentences, drop_types, types, synthesis, .. } = card;
    let files: Vec<_> = card.files.iter().map(|file| (file.split, &file.encoding)).collect();
    let read = (name, reader, splits, drop_sentences, drop_types, types, synthesis, files);
    let canonical = serde_json::to_vec(&read).map_err(|e| Error::Invalid(format!("write the card as JSON: {e}")))?;
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(b"inerd-corpus 2");
    field(&canonical);
    if let Some(synthesis) = &card.synthesis {
        field(&synth::GENERATOR_VERSION.to_le_bytes());
        field(synthesis.grammar_source()?.as_bytes());
    } else {
        let (folder, reader) = sources(card, data_dir)?;
        for file in &card.files {
            for member in reader.members(&folder.join(&file.path))? {
                field(&source::read_bytes(&member)?);
            }
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

/// The dataset's folder and reader, or what is missing and how to get it.
fn sources<'a>(card: &'a Card, data_dir: Option<&Path>) -> Result<(PathBuf, &'a Reader)> {
    let Some(reader) = &card.reader else {
        return Err(Error::Invalid(format!("read `{}`: its card names no reader", card.name)));
    };
    let missing = |help| Error::MissingData { name: card.name.clone(), help };
    // A card of the user's own data says where they are, whatever the data folder.
    let own = Path::new(card.folder());
    let Some(data_dir) = data_dir.or(own.is_absolute().then_some(own)) else {
        let help = format!(
            "it is read from a data folder and none was given; {}, then name the data folder by --data-dir or INERD_DATA",
            how_to_get(card, Path::new("<data folder>"))
        );
        return Err(missing(help));
    };
    let folder = data_dir.join(card.folder());
    let absent = |file: &&DataFile| {
        let path = folder.join(&file.path);
        !path.is_dir() && source::locate(&path).is_none()
    };
    if let Some(file) = card.files.iter().find(absent) {
        let path = folder.join(&file.path);
        let help = format!(
            "{} is missing; {} (the data folder is --data-dir or INERD_DATA)",
            path.display(),
            how_to_get(card, data_dir)
        );
        return Err(missing(help));
    }
    Ok((folder, reader))
}

fn how_to_get(card: &Card, data_dir: &Path) -> String {
    let folder = data_dir.join(card.folder());
    if !card.manual.is_empty() {
        return format!("put its files into {} by hand: {}", folder.display(), card.manual.trim());
    }
    let from = card.files.first().map(|f| card.url(f)).filter(|url| !url.is_empty());
    let from = from.map_or_else(|| card.homepage.clone(), |first| format!("{first} (first of {})", card.files.len()));
    format!("`inerd data fetch {}` downloads it from {from} into {}", card.name, folder.display())
}

/// Renames types, drops what the card drops, numbers the sentences and makes the missing splits.
fn assemble(card: &Card, read: Vec<(Vec<Sentence>, FileReport)>) -> Corpus {
    let mut report = ReadReport::default();
    let mut numbered: Vec<(Split, usize, Sentence)> = Vec::with_capacity(read.iter().map(|r| r.0.len()).sum());
    let mut next = [0; 4];
    for ((sentences, file_report), file) in read.into_iter().zip(&card.files) {
        report.files.push(file_report);
        for mut sentence in sentences {
            // Sentences are numbered as the source has them, so that an id survives a change of what is dropped.
            let number = &mut next[file.split as usize];
            *number += 1;
            if card.drop_sentences.iter().any(|start| sentence.text.starts_with(start.as_str())) {
                report.dropped_sentences += 1;
                continue;
            }
            rename(card, &mut sentence, &mut report);
            numbered.push((file.split, *number, sentence));
        }
    }
    derive_splits(card, &mut numbered, &mut report);

    let mut corpus = Corpus { name: card.name.clone(), report, ..Corpus::default() };
    for (split, number, mut sentence) in numbered {
        sentence.id = format!("{}/{}/{number}", card.name, split.name());
        match split {
            Split::Train | Split::All => corpus.train.push(sentence),
            Split::Valid => corpus.valid.push(sentence),
            Split::Test => corpus.test.push(sentence),
        }
    }
    let dropped = |label: &&String| !card.drop_types.contains(label);
    let mut types: BTreeSet<String> =
        card.types.iter().filter(|(label, _)| dropped(label)).map(|(_, words)| words.clone()).collect();
    for (_, sentences) in corpus.splits() {
        for entity in sentences.iter().flat_map(|s| &s.entities) {
            if !types.contains(&entity.kind) {
                types.insert(entity.kind.clone());
            }
        }
    }
    corpus.schema = Schema::new(types);
    corpus
}

fn rename(card: &Card, sentence: &mut Sentence, report: &mut ReadReport) {
    let count = |counts: &mut std::collections::BTreeMap<String, usize>, label: &str| {
        *counts.entry(label.to_owned()).or_default() += 1;
    };
    sentence.entities.retain_mut(|entity| {
        if card.drop_types.contains(&entity.kind) {
            count(&mut report.dropped_entities, &entity.kind);
            return false;
        }
        if let Some(words) = card.types.get(&entity.kind) {
            entity.kind.clone_from(words);
        } else {
            count(&mut report.unnamed_types, &entity.kind);
            let words = natural_words(&entity.kind);
            // A label without a letter or digit stays as it is: an empty name could not be written.
            if !words.is_empty() {
                entity.kind = words;
            }
        }
        true
    });
    // Two labels that share their words can give one span the same type twice.
    sentence.entities.dedup();
}

/// Gives every undivided sentence its split, and takes a validation set from the training set where there is none.
fn derive_splits(card: &Card, sentences: &mut [(Split, usize, Sentence)], report: &mut ReadReport) {
    let shares = card.splits;
    let undivided = sentences.iter().any(|s| s.0 == Split::All);
    let has_valid = sentences.iter().any(|s| s.0 == Split::Valid);
    let from = if undivided { Split::All } else { Split::Train };
    if has_valid || shares.valid_share == 0.0 && !undivided {
        return;
    }
    let mut positions: Vec<usize> = (0..sentences.len()).filter(|&i| sentences[i].0 == from).collect();
    let total = positions.len() as f64;
    positions.shuffle(&mut stream(&format!("splits of {}", card.name), shares.seed));
    let valid = (total * shares.valid_share).round() as usize;
    let test = if undivided { (total * shares.test_share).round() as usize } else { 0 };
    for (order, &position) in positions.iter().enumerate() {
        sentences[position].0 = if order < valid {
            Split::Valid
        } else if order < valid + test {
            Split::Test
        } else {
            Split::Train
        };
    }
    let seed = shares.seed;
    report.derived_splits.push(if undivided {
        format!("{} sentences divided by seed {seed}: {valid} validation, {test} test", positions.len())
    } else {
        format!("{valid} of {} training sentences became validation sentences by seed {seed}", positions.len())
    });
}
