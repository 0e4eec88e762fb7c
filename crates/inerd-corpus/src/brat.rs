//! BRAT stand-off: a text file and an annotation file beside it (`a.txt`, `a.ann`).

use std::fs;
use std::path::{Path, PathBuf};

use inerd_text::{CharOffsets, Entity, Sentence, Span};
use serde::{Deserialize, Serialize};

use crate::report::{FileReport, Repair};
use crate::{Error, Result, source};

/// A folder of documents (`.txt` with `.ann`), or one document. Every line of a document that is not blank is a
/// sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brat {}

impl Brat {
    /// The text files under `path`, sorted, each followed by its annotation file.
    pub(crate) fn members(path: &Path) -> Result<Vec<PathBuf>> {
        let mut texts = Vec::new();
        if path.is_dir() {
            let wrap = |source| Error::Read { path: path.to_owned(), source };
            for entry in fs::read_dir(path).map_err(wrap)? {
                let file = entry.map_err(wrap)?.path();
                if file.extension().is_some_and(|e| e == "txt") {
                    texts.push(file);
                }
            }
            texts.sort();
        } else {
            texts.push(path.to_owned());
        }
        Ok(texts.into_iter().flat_map(|text| [text.clone(), text.with_extension("ann")]).collect())
    }

    pub(crate) fn read_all(path: &Path, encoding: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let read = |file: &Path| source::decode(file, source::read_bytes(file)?, encoding);
        let mut sentences = Vec::new();
        for pair in Self::members(path)?.chunks(2) {
            let [text, annotations] = pair else { continue };
            sentences.extend(Self::read(annotations, &read(text)?, &read(annotations)?, report)?);
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
        for line in text.split_inclusive('\n') {
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
                report.found.add(&sentence, 0);
                sentences.push(sentence);
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
