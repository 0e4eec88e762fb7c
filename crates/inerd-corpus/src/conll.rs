//! Columns: one token per line, blank lines between sentences.

use std::io::{self, Write};
use std::path::Path;

use inerd_text::{Entity, Sentence, Span};
use serde::{Deserialize, Serialize};

use crate::report::{FileReport, Repair};
use crate::scheme::{self, Detector, Scheme};
use crate::tokens::tokenize;
use crate::{Error, Result};

/// What stands between columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separator {
    /// Tabs in lines that hold one, white space in the others.
    #[default]
    Auto,
    Tab,
    Space,
}

/// How a column file is laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conll {
    pub separator: Separator,
    /// Column of the token, from zero.
    pub token: usize,
    /// Column of the tag; the last one where not given.
    pub tag: Option<usize>,
    /// Detected where not given.
    pub scheme: Option<Scheme>,
    /// Lines that begin so are skipped, without ending a sentence (`"# id "`; a bare `#` would eat hashtags).
    pub comment: Option<String>,
    /// Lines whose token is this end a sentence and are skipped.
    pub document: String,
}

impl Default for Conll {
    fn default() -> Self {
        let document = "-DOCSTART-".to_owned();
        Self { separator: Separator::Auto, token: 0, tag: None, scheme: None, comment: None, document }
    }
}

/// One line, understood.
enum Line<'a> {
    Row { token: &'a str, tag: &'a str },
    SentenceEnd,
    Skip,
}

impl Conll {
    fn line<'a>(&self, line: &'a str) -> std::result::Result<Line<'a>, String> {
        if line.trim().is_empty() {
            return Ok(Line::SentenceEnd);
        }
        if self.comment.as_ref().is_some_and(|prefix| line.starts_with(prefix.as_str())) {
            return Ok(Line::Skip);
        }
        let tabs = match self.separator {
            Separator::Auto => line.contains('\t'),
            Separator::Tab => true,
            Separator::Space => false,
        };
        let columns = if tabs { self.pick(line.split('\t')) } else { self.pick(line.split_ascii_whitespace()) };
        let (Some(token), Some(tag)) = columns else {
            let needed = self.tag.unwrap_or(self.token + 1).max(self.token) + 1;
            return Err(format!("expected at least {needed} columns, found `{}`", shorten(line)));
        };
        if token == self.document {
            return Ok(Line::SentenceEnd);
        }
        let tag = tag.trim();
        if tag.is_empty() {
            return Err("the tag is empty".to_owned());
        }
        Ok(Line::Row { token, tag })
    }

    /// The columns of the token and the tag, walked to without a list per line.
    fn pick<'a>(&self, mut columns: impl DoubleEndedIterator<Item = &'a str>) -> (Option<&'a str>, Option<&'a str>) {
        match self.tag {
            None => {
                let tag = columns.next_back();
                (columns.nth(self.token), tag)
            }
            Some(tag) if tag > self.token => (columns.nth(self.token), columns.nth(tag - self.token - 1)),
            Some(tag) => {
                let first = columns.nth(tag);
                (columns.nth((self.token - tag).saturating_sub(1)), first)
            }
        }
    }

    /// Reads the sentences of a column file. Their text is the tokens with one space between.
    pub fn read(&self, path: &Path, text: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        if self.tag == Some(self.token) {
            return Err(Error::Invalid("the reader's columns `token` and `tag` are the same".to_owned()));
        }
        let fail = |line, reason| Error::Format { path: path.to_owned(), line, reason };
        let scheme = match self.scheme {
            Some(scheme) => scheme,
            None => self.detect(text),
        };
        report.scheme = Some(scheme.to_string());
        let mut sentences = Vec::new();
        let mut rows: Vec<(&str, &str, usize)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match self.line(line).map_err(|reason| fail(index + 1, reason))? {
                Line::Row { token, tag } => rows.push((token, tag, index + 1)),
                Line::SentenceEnd => sentences.extend(build(&mut rows, scheme, report)),
                Line::Skip => {}
            }
        }
        sentences.extend(build(&mut rows, scheme, report));
        Ok(sentences)
    }

    /// Tokens and tags of every sentence as they stand in the file, each with its line (1-based) and nothing repaired:
    /// what scorers of tags want.
    pub fn rows<'a>(&self, path: &Path, text: &'a str) -> Result<Vec<Vec<(&'a str, &'a str, usize)>>> {
        let mut sentences = Vec::new();
        let mut rows = Vec::new();
        for (line, row) in (1..).zip(text.lines()) {
            match self.line(row).map_err(|reason| Error::Format { path: path.to_owned(), line, reason })? {
                Line::Row { token, tag } => rows.push((token, tag, line)),
                Line::SentenceEnd if !rows.is_empty() => sentences.push(std::mem::take(&mut rows)),
                Line::SentenceEnd | Line::Skip => {}
            }
        }
        if !rows.is_empty() {
            sentences.push(rows);
        }
        Ok(sentences)
    }

    fn detect(&self, text: &str) -> Scheme {
        let mut detector = Detector::default();
        for line in text.lines() {
            match self.line(line) {
                Ok(Line::Row { tag, .. }) => detector.tag(tag),
                Ok(Line::SentenceEnd) => detector.sentence_end(),
                Ok(Line::Skip) | Err(_) => {}
            }
        }
        detector.scheme()
    }
}

/// A sentence from its rows `(token, tag, line)`; empties them. `None` where no token is left.
pub(crate) fn build(rows: &mut Vec<(&str, &str, usize)>, scheme: Scheme, report: &mut FileReport) -> Option<Sentence> {
    let first_line = rows.first()?.2;
    let mut sentence = Sentence::default();
    sentence.text.reserve(rows.iter().map(|r| r.0.len() + 1).sum());
    // Token positions of the source → positions in `sentence.tokens`: blank tokens have none.
    let mut kept: Vec<usize> = Vec::with_capacity(rows.len() + 1);
    for &(token, _, line) in rows.iter() {
        kept.push(sentence.tokens.len());
        if token.trim().is_empty() {
            report.repaired(Repair::BlankToken, line);
            continue;
        }
        if !sentence.text.is_empty() {
            sentence.text.push(' ');
        }
        let start = sentence.text.len();
        sentence.text.push_str(token);
        sentence.tokens.push(Span::new(start, sentence.text.len()));
    }
    kept.push(sentence.tokens.len());
    let blank = rows.len() - sentence.tokens.len();

    let tags: Vec<&str> = rows.iter().map(|r| r.1).collect();
    let line_of = |at: usize| rows.get(at).map_or(first_line, |r| r.2);
    let found = scheme::mentions(&tags, scheme, |repair, at| report.repaired(repair, line_of(at)));
    for mention in found {
        let tokens = kept.get(mention.start).zip(kept.get(mention.end));
        match tokens.and_then(|(&start, &end)| sentence.tokens.get(start..end)) {
            Some([first, .., last]) => sentence.entities.push(Entity::new(mention.kind, first.start, last.end)),
            Some([only]) => sentence.entities.push(Entity::new(mention.kind, only.start, only.end)),
            _ => report.repaired(Repair::BlankMention, line_of(mention.start)),
        }
    }
    report.found.add(&sentence, blank);
    rows.clear();
    if sentence.tokens.is_empty() {
        report.repaired(Repair::EmptySentence, first_line);
        return None;
    }
    Some(sentence)
}

fn shorten(line: &str) -> String {
    let short: String = line.chars().take(40).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

/// Writes `token TAB tag` in IOB2, a blank line behind every sentence. Returns how many mentions the format could not
/// hold: of mentions that overlap only the longest is written.
///
/// A sentence without tokens of its own is tokenised; tokens are cut at the edges of mentions.
pub fn write_conll<'a>(mut writer: impl Write, sentences: impl IntoIterator<Item = &'a Sentence>) -> io::Result<usize> {
    let mut lost = 0;
    for sentence in sentences {
        let (flat, overlapping) = flatten(&sentence.entities);
        lost += overlapping;
        for token in cut(sentence, &flat) {
            let Some(surface) = token.of(&sentence.text) else { continue };
            let inside = flat.iter().find(|e| e.span.contains(token));
            match inside {
                None => writeln!(writer, "{surface}\tO")?,
                Some(e) if e.span.start == token.start => writeln!(writer, "{surface}\tB-{}", e.kind)?,
                Some(e) => writeln!(writer, "{surface}\tI-{}", e.kind)?,
            }
        }
        writeln!(writer)?;
    }
    writer.flush()?;
    Ok(lost)
}

/// The mentions left when of every two that overlap only the longer (then the earlier) stays, and how many went.
fn flatten(entities: &[Entity]) -> (Vec<&Entity>, usize) {
    let mut order: Vec<&Entity> = entities.iter().collect();
    order.sort_by_key(|e| (std::cmp::Reverse(e.span.len()), e.span.start));
    let mut flat: Vec<&Entity> = Vec::new();
    for entity in order {
        if flat.iter().all(|kept| !kept.span.overlaps(entity.span)) {
            flat.push(entity);
        }
    }
    flat.sort();
    let lost = entities.len() - flat.len();
    (flat, lost)
}

/// The sentence's tokens, cut where a mention begins or ends inside one.
fn cut(sentence: &Sentence, entities: &[&Entity]) -> Vec<Span> {
    let tokens = if sentence.tokens.is_empty() { tokenize(&sentence.text) } else { sentence.tokens.clone() };
    let mut edges: Vec<usize> = entities.iter().flat_map(|e| [e.span.start, e.span.end]).collect();
    edges.sort_unstable();
    let mut pieces = Vec::with_capacity(tokens.len());
    for token in tokens {
        let mut start = token.start;
        for &edge in edges.iter().filter(|&&edge| token.start < edge && edge < token.end) {
            pieces.push(Span::new(start, edge));
            start = edge;
        }
        if start < token.end {
            pieces.push(Span::new(start, token.end));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &Conll, text: &str) -> Result<(Vec<Sentence>, FileReport)> {
        let mut report = FileReport::default();
        let sentences = options.read(Path::new("file.conll"), text, &mut report)?;
        sentences.iter().for_each(|s| s.validate().unwrap());
        Ok((sentences, report))
    }

    fn surfaces(sentence: &Sentence) -> Vec<(&str, &str)> {
        sentence.entities.iter().map(|e| (e.kind.as_str(), sentence.surface(e))).collect()
    }

    #[test]
    fn a_separator_line_of_white_space_ends_the_sentence() {
        let (sentences, _) = read(&Conll::default(), "Ada\tB-P\n\t\nBonn\tB-L\r\n \r\nYes\tO").unwrap();
        let texts: Vec<&str> = sentences.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["Ada", "Bonn", "Yes"]);
        assert_eq!(surfaces(&sentences[1]), [("L", "Bonn")]);
    }

    #[test]
    fn columns_comments_and_document_marks_are_where_the_card_says() {
        let options = Conll { tag: Some(1), comment: Some("# id ".to_owned()), ..Conll::default() };
        let text = "-DOCSTART- O\n\n# id 7\tx=y\n#\tB-T\t#\nAda\tI-T\tAda\n";
        let (sentences, report) = read(&options, text).unwrap();
        assert_eq!(surfaces(&sentences[0]), [("T", "# Ada")]);
        assert_eq!((report.found.sentences, report.found.tokens), (1, 2));
        let tag_first = Conll { token: 1, tag: Some(0), ..Conll::default() };
        let (sentences, _) = read(&tag_first, "B-T\tAda\nO\tran\n").unwrap();
        assert_eq!(surfaces(&sentences[0]), [("T", "Ada")]);
    }

    #[test]
    fn blank_tokens_are_left_out_and_counted() {
        let (sentences, report) = read(&Conll::default(), "a\tB-T\n \tI-T\nb\tI-T\n\tO\n\n \tB-T\n").unwrap();
        assert_eq!(sentences.len(), 1);
        assert_eq!(surfaces(&sentences[0]), [("T", "a b")]);
        assert_eq!(report.found.tokens, 5);
        assert_eq!(report.repairs[&Repair::BlankToken], 3);
        assert_eq!(report.repairs[&Repair::BlankMention], 1);
        assert_eq!(report.repairs[&Repair::EmptySentence], 1);
        assert_eq!(report.listed[0].line, 2);
    }

    #[test]
    fn a_line_without_a_tag_is_an_error_with_its_number() {
        let error = read(&Conll::default(), "a\tO\nlonely\n").unwrap_err();
        assert_eq!(error.to_string(), "read file.conll, line 2: expected at least 2 columns, found `lonely`");
        assert!(read(&Conll::default(), "a\t\n").unwrap_err().to_string().contains("line 1: the tag is empty"));
    }

    #[test]
    fn written_columns_read_back() {
        let text = "Zoë\tB-P\nvan Dam\tI-P\nof\tO\nBonn\tB-L\n\nYes\tO\n\n";
        let (sentences, _) = read(&Conll::default(), text).unwrap();
        let mut written = Vec::new();
        assert_eq!(write_conll(&mut written, &sentences).unwrap(), 0);
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }

    #[test]
    fn of_nested_mentions_the_longest_is_written() {
        let sentence = Sentence {
            text: "University of Bonn!".to_owned(),
            entities: vec![Entity::new("Org", 0, 18), Entity::new("City", 14, 18)],
            ..Sentence::default()
        };
        let mut written = Vec::new();
        assert_eq!(write_conll(&mut written, [&sentence]).unwrap(), 1);
        assert_eq!(String::from_utf8(written).unwrap(), "University\tB-Org\nof\tI-Org\nBonn\tI-Org\n!\tO\n\n");
    }
}
