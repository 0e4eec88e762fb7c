//! A corpus written to files of a common format: `inerd data convert`.

use std::fs::{self, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use inerd_text::write_json_lines;
use serde::{Deserialize, Serialize};

use crate::conll::write_conll;
use crate::{Corpus, Error, Result};

/// What a corpus can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `token TAB tag` in IOB2.
    Conll,
    /// One record per line with character offsets; holds everything.
    Jsonl,
}

impl Format {
    pub fn ending(self) -> &'static str {
        match self {
            Self::Conll => "conll",
            Self::Jsonl => "jsonl",
        }
    }
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub path: PathBuf,
    pub sentences: usize,
    /// Mentions that the format could not hold (nested ones, in columns).
    pub lost: usize,
}

/// Writes every split that has sentences to `<folder>/<split>.<ending>`. A file that exists is never overwritten.
pub fn convert(corpus: &Corpus, format: Format, folder: &Path) -> Result<Vec<Written>> {
    fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    let mut written = Vec::new();
    for (split, sentences) in corpus.splits().into_iter().filter(|(_, s)| !s.is_empty()) {
        let path = folder.join(format!("{split}.{}", format.ending()));
        let wrap = |source| Error::Write { path: path.clone(), source };
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(wrap)?;
        let writer = BufWriter::new(file);
        let lost = match format {
            Format::Conll => write_conll(writer, sentences).map_err(wrap)?,
            Format::Jsonl => write_json_lines(writer, sentences).map(|()| 0).map_err(wrap)?,
        };
        written.push(Written { path, sentences: sentences.len(), lost });
    }
    Ok(written)
}
