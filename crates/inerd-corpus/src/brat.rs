//! BRAT stand-off: a text file and an annotation file beside it (`a.txt`, `a.ann`).

use std::fs;
use std::path::{Path, PathBuf};

use inerd_text::{CharOffsets, Entity, Sentence, Span};
use serde::{Deserialize, Serialize};

use crate::reader::keep;
use crate::report::{FileReport, Repair};
use crate::{Error, Result, source};

/// A folder of documents (`.txt` with `.ann`), or one document. Every line of a document that is not blank is a
/// sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brat {}

impl Brat {
    /// The text files of the documents under `path`, sorted, each followed by its annotation file. In a folder a text
    /// without annotations beside it (a README) is no document.
    pub(crate) fn members(path: &Path) -> Result<Vec<PathBuf>> {
        if !path.is_dir() {
            return Ok(vec![path.to_owned(), path.with_extension("ann")]);
        }
        let wrap = |source| Error::Read { path: path.to_owned(), source };
        let mut annotations = Vec::new();
        for entry in fs::read_dir(path).map_err(wrap)? {
            let file = entry.map_err(wrap)?.path();
            if file.extension().is_some_and(|e| e == "ann") {
                annotations.push(file);
            }
        }
        annotations.sort();
        Ok(annotations.into_iter().flat_map(|file| [file.with_extension("txt"), file]).collect())
    }

    pub(crate) fn read_all(path: &Path, encoding: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let read = |file: &Path| source::decode(file, source::read_bytes(file)?, encoding);
        let mut sentences = Vec::new();
        let members = Self::members(path)?;
        for pair in members.chunks(2) {
            let [text, annotations] = pair else { continue };
            let mut part = FileReport::default();
            sentences.extend(Self::read(annotations, &read(text)?, &read(annotations)?, &mut part)?);
            // In a folder a line number alone does not say where.
            let name = text.file_stem().unwrap_or_default().to_string_lossy();
            report.absorb(if path.is_dir() { &name } else { "" }, part);
        }
        if members.is_empty() {
            let reason = "the folder holds no `.ann` file".to_owned();
            return Err(Error::Format { path: path.to_owned(), line: 1, reason });
        }
        Ok(sentences)
    }

    /// Reads one document; `path` is that of its annotations, for messages.
    pub fn read(path: &Path, text: &str, annotations: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let chars = CharOffsets::new(text);
        let mut mentions: Vec<(Entity, usize)> = Vec::new();
        for (index, line) in annotations.lines().enumerate().filter(|(_, line)| line.starts_with('T')) {
            let fail = |reason: String| Error::Format { path: path.to_owned(), line: index + 1, reason };
            let mut columns = line.split('\t');
            let (_, place, surface) = (columns.next(), columns.next(), columns.next());
            let (kind, offsets) = place.and_then(|p| p.trim().split_once(' ')).ok_or_else(|| {
                fail(format!("expected `T1<tab>Type start end<tab>text`, found `{}`", line.replace('\t', "<tab>")))
            })?;
            if offsets.contains(';') {
                report.repaired(Repair::Discontinuous, index + 1);
                continue;
            }
            let number = |n: Option<&str>| n.and_then(|n| n.parse::<usize>().ok());
            let mut numbers = offsets.split_ascii_whitespace();
            let span = number(numbers.next()).zip(number(numbers.next()));
            let span = span.and_then(|(start, end)| chars.to_bytes(Span::new(start, end))).filter(|s| !s.is_empty());
            let found = span.and_then(|s| Some((s, s.of(text)?)));
            let (span, found) = found.ok_or_else(|| fail(format!("the span `{offsets}` lies outside the text")))?;
            // BRAT writes a line break inside a mention as a space.
            if let Some(surface) = surface.filter(|s| *s != found.replace(['\n', '\r'], " ")) {
                return Err(fail(format!("the text at `{offsets}` is `{found}`, not `{surface}`")));
            }
            mentions.push((Entity { span, kind: kind.to_owned() }, index + 1));
        }
        mentions.sort();

        let mut sentences = Vec::new();
        let mut start = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let end = start + line.trim_end().len();
            let mut sentence =
                Sentence { text: text.get(start..end).unwrap_or_default().to_owned(), ..Sentence::default() };
            let from = mentions.partition_point(|(m, _)| m.span.start < start);
            let inside = mentions.get(from..).unwrap_or_default();
            for (mention, at) in inside.iter().take_while(|(m, _)| m.span.start < start + line.len()) {
                if mention.span.end > end {
                    report.repaired(Repair::CrossesSentence, *at);
                    continue;
                }
                let Span { start: first, end: last } = mention.span;
                sentence.entities.push(Entity::new(mention.kind.clone(), first - start, last - start));
            }
            start += line.len();
            if !sentence.text.trim().is_empty() {
                keep(sentence, index + 1, 0, &mut sentences, report);
            }
        }
        Ok(sentences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_mentions_are_kept_and_discontinuous_ones_refused() {
        let text = "Zoë of the University of Bonn\n\nleft and right arm\nA\nB\n";
        let annotations = "T1\tPer 0 3\tZoë\nT2\tOrg 11 29\tUniversity of Bonn\nT3\tCity 25 29\tBonn\n\
                           T4\tPart 31 35;46 49\tleft arm\nR1\tLoc Arg1:T2 Arg2:T3\nT5\tX 50 53\tA B\n#1\tNote T1\tx\n";
        let mut report = FileReport::default();
        let sentences = Brat::read(Path::new("a.ann"), text, annotations, &mut report).unwrap();
        let found: Vec<_> = sentences[0].entities.iter().map(|e| (e.kind.as_str(), sentences[0].surface(e))).collect();
        assert_eq!(found, [("Per", "Zoë"), ("Org", "University of Bonn"), ("City", "Bonn")]);
        assert_eq!(sentences.len(), 4);
        let expected = [(Repair::Discontinuous, 1), (Repair::CrossesSentence, 1)];
        assert_eq!(report.repairs.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_folder_of_documents_says_which_one_was_repaired() {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in [
            ("a.txt", "Ada ran\n"),
            ("a.ann", "T1\tPer 0 3\tAda\n"),
            ("b.txt", "Zoë, Bo\n"),
            ("b.ann", "T1\tPer 0 3\tZoë\nT2\tPer 0 2;5 7\tZo Bo\n"),
            ("README.txt", "no document\n"),
        ] {
            fs::write(folder.path().join(name), contents).unwrap();
        }
        let mut report = FileReport::default();
        let sentences = Brat::read_all(folder.path(), "utf-8", &mut report).unwrap();
        assert_eq!((sentences.len(), report.found.sentences, report.found.types["Per"]), (2, 2, 2));
        assert_eq!((report.listed[0].document.as_str(), report.listed[0].line), ("b", 2));
        let empty = tempfile::tempdir().unwrap();
        let error = Brat::read_all(empty.path(), "utf-8", &mut report).unwrap_err().to_string();
        assert!(error.contains("holds no `.ann` file"), "{error}");
    }

    #[test]
    fn annotations_that_do_not_fit_the_text_are_errors() {
        for (annotations, reason) in [
            ("T1\tPer 0 9\tAda", "line 1: the span `0 9` lies outside the text"),
            ("R1\tx\nT1\tPer 0 2\tAda", "line 2: the text at `0 2` is `Ad`, not `Ada`"),
            ("T1 Per 0 3 Ada", "line 1: expected `T1<tab>Type start end<tab>text`"),
        ] {
            let error = Brat::read(Path::new("a.ann"), "Ada", annotations, &mut FileReport::default()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
