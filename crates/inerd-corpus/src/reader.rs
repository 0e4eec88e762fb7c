//! The formats that a card can name, and the one way in: a file becomes sentences and a report.

use std::path::{Path, PathBuf};

use inerd_text::Sentence;
use serde::{Deserialize, Serialize};

use crate::brat::Brat;
use crate::card::DataFile;
use crate::conll::Conll;
use crate::dialogue::{PolyAi, Sgd, Snips};
use crate::jsonl::JsonLines;
use crate::report::{FileReport, Repair};
use crate::table::Table;
use crate::{Error, Result, source};

/// The format of a dataset's files, with what differs between datasets of one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reader {
    /// One token per line. Few-NERD is such a file in the scheme `io`.
    Conll(Conll),
    /// One JSON record per line (`HAnDS` is such a file).
    Jsonl(JsonLines),
    Brat(Brat),
    /// A table with a header (GMB, FiNER-ORD).
    Csv(Table),
    Snips(Snips),
    /// Restaurant-8k and its siblings.
    Polyai(PolyAi),
    Sgd(Sgd),
}

impl Reader {
    /// Reads the text of one file; `path` is for messages. BRAT needs two texts, see [`Brat::read`].
    pub fn read_text(&self, path: &Path, text: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        match self {
            Self::Conll(conll) => conll.read(path, text, report),
            Self::Jsonl(jsonl) => jsonl.read(path, text, report),
            Self::Csv(table) => table.read(path, text, report),
            Self::Snips(snips) => snips.read(path, text, report),
            Self::Polyai(polyai) => polyai.read(path, text, report),
            Self::Sgd(sgd) => sgd.read(path, text, report),
            Self::Brat(_) => Brat::read(path, text, "", report),
        }
    }

    /// The files that a path of a card stands for.
    pub(crate) fn members(&self, path: &Path) -> Result<Vec<PathBuf>> {
        match self {
            Self::Brat(_) => Brat::members(path),
            _ => Ok(vec![source::locate(path).unwrap_or_else(|| path.to_owned())]),
        }
    }
}

/// Reads one file of a dataset. Types are the source's labels; ids are the sentences' numbers in the file.
pub fn read_file(reader: &Reader, folder: &Path, file: &DataFile) -> Result<(Vec<Sentence>, FileReport)> {
    let path = folder.join(&file.path);
    let mut report =
        FileReport { path: file.path.clone(), split: file.split.name().to_owned(), ..FileReport::default() };
    let (found, mut sentences) = if let Reader::Brat(_) = reader {
        let sentences = Brat::read_all(&path, &file.encoding, &mut report)?;
        (path, sentences)
    } else {
        let Some(found) = source::locate(&path) else {
            return Err(Error::Read { path, source: std::io::ErrorKind::NotFound.into() });
        };
        let text = source::decode(&found, source::read_bytes(&found)?, &file.encoding)?;
        let sentences = reader.read_text(&found, &text, &mut report)?;
        (found, sentences)
    };
    for (index, sentence) in sentences.iter_mut().enumerate() {
        normalise(sentence, index + 1, &mut report);
        if let Err(invalid) = sentence.validate() {
            return Err(Error::Format { path: found, line: index + 1, reason: invalid.to_string() });
        }
    }
    Ok((sentences, report))
}

/// What holds for every sentence, whatever its source: no line breaks (a line break ends a prompt), entities in text
/// order, none twice.
fn normalise(sentence: &mut Sentence, record: usize, report: &mut FileReport) {
    if sentence.text.contains(['\n', '\r']) {
        // One byte for one byte: no span moves.
        sentence.text = sentence.text.replace(['\n', '\r'], " ");
        report.repaired(Repair::LineBreak, record);
    }
    sentence.entities.sort();
    let before = sentence.entities.len();
    sentence.entities.dedup();
    (sentence.entities.len()..before).for_each(|_| report.repaired(Repair::RepeatedMention, record));
}
