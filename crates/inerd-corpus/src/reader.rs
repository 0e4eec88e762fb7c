//! The formats that a card can name, and the one way in: a file becomes sentences and a report.

use std::path::Path;

use inerd_text::Sentence;
use serde::{Deserialize, Serialize};

use crate::card::DataFile;
use crate::conll::Conll;
use crate::report::{FileReport, Repair};
use crate::{Error, Result, source};

/// The format of a dataset's files, with what differs between datasets of one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reader {
    /// One token per line.
    Conll(Conll),
}

/// Reads one file of a dataset. Types are the source's labels; ids are the sentences' numbers in the file.
pub fn read_file(reader: &Reader, folder: &Path, file: &DataFile) -> Result<(Vec<Sentence>, FileReport)> {
    let path = folder.join(&file.path);
    let Some(found) = source::locate(&path) else {
        return Err(Error::Read { path, source: std::io::ErrorKind::NotFound.into() });
    };
    let text = source::decode(&found, source::read_bytes(&found)?, &file.encoding)?;
    let mut report =
        FileReport { path: file.path.clone(), split: file.split.name().to_owned(), ..FileReport::default() };
    let mut sentences = match reader {
        Reader::Conll(conll) => conll.read(&found, &text, &mut report)?,
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
