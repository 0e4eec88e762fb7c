use std::fmt;
use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Span;

/// A sentence as it stands on disk, with character offsets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SentenceRecord {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) id: String,
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tokens: Vec<(usize, usize)>,
    #[serde(default)]
    pub(crate) entities: Vec<EntityRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntityRecord {
    #[serde(rename = "type", alias = "label")]
    pub(crate) kind: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Converts between byte and character offsets of one text. ASCII text needs no table.
#[derive(Debug)]
pub struct CharOffsets {
    /// Byte offset of every character and of the end; empty for ASCII.
    starts: Vec<usize>,
    length: usize,
}

impl CharOffsets {
    pub fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self { starts: Vec::new(), length: text.len() };
        }
        let mut starts: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let length = starts.len();
        starts.push(text.len());
        Self { starts, length }
    }

    /// Length in characters.
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// `None` where the span is reversed or ends outside the text.
    pub fn to_bytes(&self, chars: Span) -> Option<Span> {
        if chars.end > self.length || chars.start > chars.end {
            return None;
        }
        if self.starts.is_empty() {
            return Some(chars);
        }
        Some(Span::new(self.starts[chars.start], self.starts[chars.end]))
    }

    pub fn to_chars(&self, bytes: Span) -> Span {
        if self.starts.is_empty() {
            return bytes;
        }
        let index = |byte| self.starts.partition_point(|&s| s < byte);
        Span::new(index(bytes.start), index(bytes.end))
    }
}

/// A line of a JSON-lines file that could not be read.
#[derive(Debug)]
pub struct InvalidRecord {
    /// 1-based.
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for InvalidRecord {}

/// Reads one record per line; blank lines are skipped.
pub fn read_json_lines<T: DeserializeOwned>(reader: impl BufRead) -> Result<Vec<T>, InvalidRecord> {
    Ok(read_numbered_json_lines(reader)?.into_iter().map(|(_, record)| record).collect())
}

/// [`read_json_lines`], each record with its line (1-based), for errors that are found later.
pub fn read_numbered_json_lines<T: DeserializeOwned>(reader: impl BufRead) -> Result<Vec<(usize, T)>, InvalidRecord> {
    let mut records = Vec::new();
    for (line, read) in (1..).zip(reader.lines()) {
        let text = read.map_err(|e| InvalidRecord { line, reason: e.to_string() })?;
        // Some editors begin a file with a byte-order mark.
        let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { &text };
        if text.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str(text).map_err(|e| InvalidRecord { line, reason: said(&e) })?;
        records.push((line, record));
    }
    Ok(records)
}

/// What is wrong with a record that stands in a line of its own: the parser's count of lines would mislead.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((reason, _)) if error.column() > 0 => format!("{reason} (column {})", error.column()),
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

/// Writes one record per line.
pub fn write_json_lines<'a, T: Serialize + 'a>(
    mut writer: impl Write,
    records: impl IntoIterator<Item = &'a T>,
) -> io::Result<()> {
    for record in records {
        serde_json::to_writer(&mut writer, record)?;
        writer.write_all(b"\n")?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_as_the_file_has_them() {
        let numbers = |text: &str| read_numbered_json_lines::<u32>(text.as_bytes());
        assert_eq!(numbers("\u{feff}1\r\n\n \n2").unwrap(), [(1, 1), (4, 2)]);
        assert_eq!(numbers("").unwrap(), []);
        let error = numbers("1\n\n\"x\"").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.reason.contains("invalid type") && !error.reason.contains("line 1"), "{error}");
    }
}
