//! CSV tables: one token per row.

use std::collections::BTreeMap;
use std::path::Path;

use inerd_text::Sentence;
use serde::{Deserialize, Serialize};

use crate::conll::build;
use crate::report::FileReport;
use crate::scheme::{Detector, Scheme};
use crate::{Error, Result};

/// When a row begins a new sentence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceMark {
    /// The columns are filled on a sentence's first row only.
    #[default]
    First,
    /// The columns' values differ from those of the row before.
    Change,
}

/// Names of the columns, as the header spells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Table {
    pub separator: char,
    pub sentence: Vec<String>,
    pub mark: SentenceMark,
    pub token: String,
    pub tag: String,
    /// Codes instead of tags (`"1" = "B-PER"`); a code that is not named is an error.
    pub codes: BTreeMap<String, String>,
    pub scheme: Option<Scheme>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            separator: ',',
            sentence: vec!["Sentence #".to_owned()],
            mark: SentenceMark::First,
            token: "Word".to_owned(),
            tag: "Tag".to_owned(),
            codes: BTreeMap::new(),
            scheme: None,
        }
    }
}

impl Table {
    pub fn read(&self, path: &Path, text: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let fail = |line, reason| Error::Format { path: path.to_owned(), line, reason };
        let separator = u8::try_from(self.separator)
            .map_err(|_| Error::Invalid(format!("use the separator `{}`: it is not ASCII", self.separator)))?;
        let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
        let line_of = |e: &csv::Error| e.position().map_or(1, |p| p.line() as usize);
        let header = reader.headers().map_err(|e| fail(line_of(&e), e.to_string()))?.clone();
        let column = |name: &String| {
            let missing = || fail(1, format!("there is no column `{name}`, only {}", list(&header)));
            header.iter().position(|h| h == name).ok_or_else(missing)
        };
        let (token, tag) = (column(&self.token)?, column(&self.tag)?);
        let marks: Vec<usize> = self.sentence.iter().map(column).collect::<Result<_>>()?;

        // Rows are read into memory once: the scheme is known only after the last.
        let mut rows: Vec<(csv::StringRecord, usize, bool)> = Vec::new();
        let mut detector = Detector::default();
        for record in reader.records() {
            let record = record.map_err(|e| fail(line_of(&e), e.to_string()))?;
            let line = record.position().map_or(0, |p| p.line() as usize);
            let filled = marks.iter().any(|&m| record.get(m).is_some_and(|v| !v.is_empty()));
            let changed = rows.last().is_none_or(|(last, ..)| marks.iter().any(|&m| record.get(m) != last.get(m)));
            let first = match self.mark {
                SentenceMark::First => filled,
                SentenceMark::Change => changed,
            };
            if first {
                detector.sentence_end();
            }
            detector.tag(self.tag_of(record.get(tag)).map_err(|reason| fail(line, reason))?);
            rows.push((record, line, first));
        }
        let tags = detector.tags(self.scheme);
        report.scheme = Some(tags.scheme.to_string());

        let mut sentences = Vec::new();
        let mut open: Vec<(&str, &str, usize)> = Vec::new();
        for (record, line, first) in &rows {
            if *first {
                build(&mut open, tags, &mut sentences, report);
            }
            let tag = self.tag_of(record.get(tag)).map_err(|reason| fail(*line, reason))?;
            open.push((record.get(token).unwrap_or_default(), tag, *line));
        }
        build(&mut open, tags, &mut sentences, report);
        Ok(sentences)
    }

    fn tag_of<'a>(&'a self, cell: Option<&'a str>) -> std::result::Result<&'a str, String> {
        let cell = cell.map(str::trim).filter(|c| !c.is_empty()).ok_or("the tag is empty")?;
        if self.codes.is_empty() {
            return Ok(cell);
        }
        self.codes.get(cell).map(String::as_str).ok_or_else(|| format!("the code `{cell}` has no tag in the card"))
    }
}

fn list(header: &csv::StringRecord) -> String {
    header.iter().map(|h| format!("`{h}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_marks_and_line_ends_of_gmb() {
        let text = "Sentence #,Word,POS,Tag\r\nSentence: 1,Ada,NNP,B-per\r\n,\"\"\"\",``,O\r\n,\"10,000\",CD,O\r\n\
                    Sentence: 2,Bonn,NNP,B-geo\r\n";
        let mut report = FileReport::default();
        let sentences = Table::default().read(Path::new("f.csv"), text, &mut report).unwrap();
        assert_eq!(sentences.iter().map(|s| s.text.as_str()).collect::<Vec<_>>(), ["Ada \" 10,000", "Bonn"]);
        assert_eq!(report.scheme.as_deref(), Some("IOB2"));
    }

    #[test]
    fn codes_and_changing_columns() {
        let table = Table {
            sentence: vec!["doc".to_owned(), "sent".to_owned()],
            mark: SentenceMark::Change,
            token: "token".to_owned(),
            tag: "label".to_owned(),
            codes: [("0", "O"), ("1", "B-PER")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            ..Table::default()
        };
        let text = "token,label,doc,sent\nAda,1,0,0\nran,0,0,0\nYes,0,0,1\nNo,0,1,1\n";
        let sentences = table.read(Path::new("f.csv"), text, &mut FileReport::default()).unwrap();
        assert_eq!(sentences.iter().map(|s| s.text.as_str()).collect::<Vec<_>>(), ["Ada ran", "Yes", "No"]);
        let error = table.read(Path::new("f.csv"), &text.replace(",1,0,0", ",9,0,0"), &mut FileReport::default());
        assert_eq!(error.unwrap_err().to_string(), "read f.csv, line 2: the code `9` has no tag in the card");
    }
}
