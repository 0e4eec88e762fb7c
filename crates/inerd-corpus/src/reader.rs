//! The formats that a card can name, and the one way in: a file becomes sentences and a report.

use std::path::{Path, PathBuf};

use inerd_text::{Sentence, Span};
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

    /// A reader of the same format that is told nothing.
    pub(crate) fn plain(&self) -> Self {
        match self {
            Self::Conll(_) => Self::Conll(Conll::default()),
            Self::Jsonl(_) => Self::Jsonl(JsonLines::default()),
            Self::Brat(_) => Self::Brat(Brat::default()),
            Self::Csv(_) => Self::Csv(Table::default()),
            Self::Snips(_) => Self::Snips(Snips::default()),
            Self::Polyai(_) => Self::Polyai(PolyAi::default()),
            Self::Sgd(_) => Self::Sgd(Sgd::default()),
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

/// Reads one file of a dataset. Types are the source's labels; sentences have no ids yet.
pub fn read_file(reader: &Reader, folder: &Path, file: &DataFile) -> Result<(Vec<Sentence>, FileReport)> {
    let path = folder.join(&file.path);
    let mut report =
        FileReport { path: file.path.clone(), split: file.split.name().to_owned(), ..FileReport::default() };
    let (found, sentences) = if let Reader::Brat(_) = reader {
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
    for (index, sentence) in sentences.iter().enumerate() {
        if let Err(invalid) = sentence.validate() {
            return Err(Error::Format { path: found, line: index + 1, reason: invalid.to_string() });
        }
    }
    Ok((sentences, report))
}

/// Counts a sentence and keeps it, made as every sentence is, whatever its source: not blank, no line breaks (a line
/// break ends a prompt), no mention with white space at its edges, mentions in text order, none twice.
///
/// `line` is the sentence's first line, or its record's number; `blank` tokens stood in the source but not in the
/// sentence.
pub(crate) fn keep(
    mut sentence: Sentence,
    line: usize,
    blank: usize,
    sentences: &mut Vec<Sentence>,
    report: &mut FileReport,
) {
    let Sentence { text, entities, .. } = &mut sentence;
    entities.retain_mut(|entity| {
        let surface = entity.span.of(text).unwrap_or_default();
        let trimmed = surface.trim();
        if trimmed.is_empty() {
            report.repaired(Repair::BlankMention, line);
            return false;
        }
        if trimmed.len() < surface.len() {
            let start = entity.span.start + (surface.len() - surface.trim_start().len());
            entity.span = Span::new(start, start + trimmed.len());
            report.repaired(Repair::TrimmedMention, line);
        }
        true
    });
    report.found.add(&sentence, blank);
    if sentence.text.trim().is_empty() {
        report.repaired(Repair::EmptySentence, line);
        return;
    }
    if sentence.text.contains(['\n', '\r']) {
        // One byte for one byte: no span moves.
        sentence.text = sentence.text.replace(['\n', '\r'], " ");
        report.repaired(Repair::LineBreak, line);
    }
    sentence.entities.sort();
    let before = sentence.entities.len();
    sentence.entities.dedup();
    (sentence.entities.len()..before).for_each(|_| report.repaired(Repair::RepeatedMention, line));
    sentences.push(sentence);
}
