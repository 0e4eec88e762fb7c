//! Columns: one token per line, blank lines between sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use inerd_text::{Entity, Sentence, Span};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::reader::keep;
use crate::report::{FileReport, Repair};
use crate::scheme::{Detector, Scheme, Tags};
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
    /// Lines that begin so are skipped, without ending a sentence (`"# id "`; a bare `#` would eat hashtags). Where not
    /// given, lines that begin with `#` and don't look like the other rows are taken for comments, with a report.
    pub comment: Option<String>,
    /// Lines that begin with this column, or whose token it is, end a sentence and are skipped.
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
    Row {
        token: &'a str,
        tag: &'a str,
    },
    SentenceEnd,
    Skip,
    /// A line that is a comment by its looks, not by the card's word.
    Comment,
}

/// What the lines of a file have in common.
struct Layout<'a> {
    tags: Tags,
    /// Number of columns of most rows.
    columns: usize,
    /// The tags of all rows that can't be comments.
    seen: BTreeSet<&'a str>,
}

impl Conll {
    fn line<'a>(&self, line: &'a str, layout: &Layout<'_>) -> std::result::Result<Line<'a>, String> {
        if line.trim().is_empty() {
            return Ok(Line::SentenceEnd);
        }
        if self.is_comment(line) {
            return Ok(Line::Skip);
        }
        if self.is_document(line) {
            return Ok(Line::SentenceEnd);
        }
        if self.looks_like_comment(line) && !self.is_row(line, layout) {
            return Ok(Line::Comment);
        }
        let (Some(token), Some(tag)) = self.pick(line) else {
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

    fn is_comment(&self, line: &str) -> bool {
        self.comment.as_ref().is_some_and(|prefix| line.starts_with(prefix.as_str()))
    }

    /// A mark that stands alone in its line has no tag, and needs none.
    fn is_document(&self, line: &str) -> bool {
        let rest = line.strip_prefix(self.document.as_str()).filter(|_| !self.document.is_empty());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    }

    /// Where the card says nothing of comments, a line that begins with `#` is one unless it is a row like the others:
    /// hashtags are tokens, too.
    fn looks_like_comment(&self, line: &str) -> bool {
        self.comment.is_none() && line.starts_with('#')
    }

    fn is_row(&self, line: &str, layout: &Layout<'_>) -> bool {
        let tag = self.pick(line).1.map(str::trim);
        // In a file without any other row nothing speaks against it.
        let alike = layout.columns == 0 || self.columns(line) == layout.columns;
        alike
            && tag.is_some_and(|tag| {
                layout.columns == 0 || layout.seen.contains(tag) || layout.tags.has_marks() && layout.tags.knows(tag)
            })
    }

    fn has_tabs(&self, line: &str) -> bool {
        match self.separator {
            Separator::Auto => line.contains('\t'),
            Separator::Tab => true,
            Separator::Space => false,
        }
    }

    fn columns(&self, line: &str) -> usize {
        if self.has_tabs(line) { line.split('\t').count() } else { line.split_ascii_whitespace().count() }
    }

    /// The columns of the token and the tag, walked to without a list per line.
    fn pick<'a>(&self, line: &'a str) -> (Option<&'a str>, Option<&'a str>) {
        if self.has_tabs(line) { self.pick_of(line.split('\t')) } else { self.pick_of(line.split_ascii_whitespace()) }
    }

    fn pick_of<'a>(&self, mut columns: impl DoubleEndedIterator<Item = &'a str>) -> (Option<&'a str>, Option<&'a str>) {
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
        let pieces = pieces(text);
        let layout = self.layout(&pieces);
        report.scheme = Some(layout.tags.scheme.to_string());
        let read: Vec<Result<(Vec<Sentence>, FileReport)>> =
            pieces.par_iter().map(|&(first, piece)| self.read_piece(path, piece, first, &layout)).collect();
        let mut sentences = Vec::with_capacity(read.iter().flatten().map(|(sentences, _)| sentences.len()).sum());
        for piece in read {
            let (own, part) = piece?;
            sentences.extend(own);
            report.absorb("", part);
        }
        Ok(sentences)
    }

    /// Reads a piece of a file whose first line has the number `first`, from zero.
    fn read_piece(
        &self,
        path: &Path,
        piece: &str,
        first: usize,
        layout: &Layout<'_>,
    ) -> Result<(Vec<Sentence>, FileReport)> {
        let mut report = FileReport::default();
        let mut sentences = Vec::new();
        let mut rows: Vec<(&str, &str, usize)> = Vec::new();
        for (index, line) in piece.lines().enumerate() {
            let number = first + index + 1;
            let fail = |reason| Error::Format { path: path.to_owned(), line: number, reason };
            match self.line(line, layout).map_err(fail)? {
                Line::Row { token, tag } => rows.push((token, tag, number)),
                Line::SentenceEnd => build(&mut rows, layout.tags, &mut sentences, &mut report),
                Line::Skip => {}
                Line::Comment => report.repaired(Repair::CommentLine, number),
            }
        }
        build(&mut rows, layout.tags, &mut sentences, &mut report);
        Ok((sentences, report))
    }

    /// Tokens and tags of every sentence as they stand in the file, nothing repaired: what scorers of tags want.
    pub fn rows<'a>(&self, path: &Path, text: &'a str) -> Result<Vec<Vec<(&'a str, &'a str)>>> {
        let layout = self.layout(&[(0, text)]);
        let mut sentences = Vec::new();
        let mut rows = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let fail = |reason| Error::Format { path: path.to_owned(), line: index + 1, reason };
            match self.line(line, &layout).map_err(fail)? {
                Line::Row { token, tag } => rows.push((token, tag)),
                Line::SentenceEnd if !rows.is_empty() => sentences.push(std::mem::take(&mut rows)),
                Line::SentenceEnd | Line::Skip | Line::Comment => {}
            }
        }
        if !rows.is_empty() {
            sentences.push(rows);
        }
        Ok(sentences)
    }

    /// What the rows have in common, from one walk over the file.
    fn layout<'a>(&self, pieces: &[(usize, &'a str)]) -> Layout<'a> {
        let mut survey = Survey::default();
        for part in pieces.par_iter().map(|(_, piece)| self.survey(piece)).collect::<Vec<_>>() {
            survey.detector.absorb(&part.detector);
            survey.seen.extend(part.seen);
            part.columns.into_iter().for_each(|(columns, count)| *survey.columns.entry(columns).or_default() += count);
        }
        survey.seen.insert("O");
        let columns = survey.columns.into_iter().max_by_key(|&(_, count)| count).map_or(0, |(columns, _)| columns);
        Layout { tags: survey.detector.tags(self.scheme), columns, seen: survey.seen }
    }

    fn survey<'a>(&self, piece: &'a str) -> Survey<'a> {
        let mut survey = Survey::default();
        let mut counted = 0;
        for line in piece.lines() {
            if line.trim().is_empty() || self.is_document(line) {
                survey.detector.sentence_end();
            } else if !self.is_comment(line)
                && !self.looks_like_comment(line)
                && let (Some(_), Some(tag)) = self.pick(line)
            {
                let tag = tag.trim();
                survey.detector.tag(tag);
                if tag != "O" {
                    survey.seen.insert(tag);
                }
                // How rows look is clear after a while.
                if counted < 1000 {
                    counted += 1;
                    *survey.columns.entry(self.columns(line)).or_default() += 1;
                }
            }
        }
        survey.detector.sentence_end();
        survey
    }
}

/// What one walk over a piece of a file sees.
#[derive(Default)]
struct Survey<'a> {
    detector: Detector,
    seen: BTreeSet<&'a str>,
    /// Number of columns → rows, of the first rows.
    columns: BTreeMap<usize, usize>,
}

/// Bytes of a piece: large enough that a thread is worth it.
const PIECE: usize = if cfg!(test) { 16 } else { 1 << 20 };

/// A text in pieces that end with a blank line, each with the number of its first line, from zero.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut start, mut end, mut first, mut line) = (0, 0, 0, 0);
    for row in text.split_inclusive('\n') {
        end += row.len();
        line += 1;
        if end - start >= PIECE && row.trim().is_empty() {
            pieces.push((first, &text[start..end]));
            (start, first) = (end, line);
        }
    }
    pieces.push((first, &text[start..]));
    pieces
}

/// Makes a sentence of its rows `(token, tag, line)` and empties them.
pub(crate) fn build(
    rows: &mut Vec<(&str, &str, usize)>,
    tags: Tags,
    sentences: &mut Vec<Sentence>,
    report: &mut FileReport,
) {
    let Some(&(_, _, first_line)) = rows.first() else { return };
    let mut sentence = Sentence::default();
    sentence.text.reserve(rows.iter().map(|r| r.0.len() + 1).sum());
    // Token positions of the source → positions in `sentence.tokens`: blank tokens have none.
    let mut kept: Vec<usize> = Vec::with_capacity(rows.len() + 1);
    for &(token, _, line) in rows.iter() {
        kept.push(sentence.tokens.len());
        let whole = token.len();
        let token = token.trim();
        if token.is_empty() {
            report.repaired(Repair::BlankToken, line);
            continue;
        }
        if token.len() < whole {
            report.repaired(Repair::TrimmedToken, line);
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

    let column: Vec<&str> = rows.iter().map(|r| r.1).collect();
    let line_of = |at: usize| rows.get(at).map_or(first_line, |r| r.2);
    let found = tags.mentions(&column, |repair, at| report.repaired(repair, line_of(at)));
    for mention in found {
        let tokens = kept.get(mention.start).zip(kept.get(mention.end));
        match tokens.and_then(|(&start, &end)| sentence.tokens.get(start..end)) {
            Some([first, .., last]) => sentence.entities.push(Entity::new(mention.kind, first.start, last.end)),
            Some([only]) => sentence.entities.push(Entity::new(mention.kind, only.start, only.end)),
            _ => report.repaired(Repair::BlankMention, line_of(mention.start)),
        }
    }
    keep(sentence, first_line, blank, sentences, report);
    rows.clear();
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
        let mut begun = 0;
        let mut open: Option<&Entity> = None;
        for token in cut(sentence, &flat) {
            let Some(surface) = token.of(&sentence.text) else { continue };
            // A column can't hold what separates columns.
            let surface = surface.replace(['\t', '\n', '\r'], " ");
            let inside = flat.iter().copied().find(|e| e.span.contains(token));
            match inside {
                None => writeln!(writer, "{surface}\tO")?,
                Some(e) if open == Some(e) => writeln!(writer, "{surface}\tI-{}", e.kind)?,
                Some(e) => {
                    begun += 1;
                    writeln!(writer, "{surface}\tB-{}", e.kind)?;
                }
            }
            open = inside;
        }
        // A mention that no token of the sentence lies in.
        lost += flat.len() - begun;
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
        let (trimmed, edges) = read(&Conll::default(), "\u{a0}a b\u{85}\tB-T\nc\tO\n").unwrap();
        assert_eq!((&*trimmed[0].text, edges.repairs), ("a b c", [(Repair::TrimmedToken, 1)].into()));
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
    fn comments_are_told_from_hashtags() {
        let text = "\n# id 5239\tdomain=en\nAda _ _ B-P\n#tag _ _ O\n#1 _ _ B-Q\n\n# text = all is O\nBonn _ _ B-L\n";
        let (sentences, report) = read(&Conll::default(), text).unwrap();
        let texts: Vec<&str> = sentences.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["Ada #tag #1", "Bonn"]);
        assert_eq!(report.repairs, [(Repair::CommentLine, 2)].into());
        assert_eq!(report.listed.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 7]);
        let bare = "#begin document (a); part 0\nAda\tname\n#x\tname\n#y\tO\n#end document\n";
        let (sentences, report) = read(&Conll::default(), bare).unwrap();
        assert_eq!(sentences[0].text, "Ada #x #y");
        assert_eq!(report.repairs, [(Repair::CommentLine, 2)].into());
        let (sentences, _) = read(&Conll::default(), "#only\tO\n").unwrap();
        assert_eq!(sentences[0].text, "#only");
    }

    /// In tests a piece is a few rows: lines, schemes and sentences don't depend on where a file is cut.
    #[test]
    fn a_file_in_pieces_reads_as_one() {
        let block = "Ada\tB-P\nDam\tI-P\n\n#c x y\nBonn\tI-L\n\t\n";
        let text = block.repeat(9);
        assert!(pieces(&text).len() > 5);
        assert_eq!(pieces(&text).iter().map(|p| p.1).collect::<String>(), text);
        let (sentences, report) = read(&Conll::default(), &text).unwrap();
        assert_eq!((sentences.len(), report.found.sentences, report.found.types["P"]), (18, 18, 9));
        let lines: Vec<usize> = report.listed.iter().map(|r| r.line).collect();
        assert_eq!(lines, (0..9).flat_map(|n| [6 * n + 4, 6 * n + 5]).collect::<Vec<_>>());
        let error = read(&Conll::default(), &(text + "lonely\n\nlonelier\n")).unwrap_err().to_string();
        assert!(error.contains("line 55"), "{error}");
    }

    #[test]
    fn document_marks_need_no_tag() {
        for mark in ["-DOCSTART-", "-DOCSTART- -X- O O", "-DOCSTART- (3)", "-DOCSTART-\tO"] {
            let (sentences, _) = read(&Conll::default(), &format!("{mark}\n\nAda B-P\n{mark}\nBonn B-L\n")).unwrap();
            assert_eq!(sentences.len(), 2, "{mark}");
        }
        // A token that only begins so is a token.
        assert_eq!(read(&Conll::default(), "-DOCSTART-x O\n").unwrap().0.len(), 1);
    }

    #[test]
    fn what_tokens_leave_out_is_not_lost_in_silence() {
        let sentence = Sentence {
            text: "a  Zoë\tDam, b".to_owned(),
            tokens: vec![Span::new(0, 1), Span::new(4, 11)],
            entities: vec![Entity::new("P", 3, 11), Entity::new("Q", 13, 14)],
            ..Sentence::default()
        };
        let mut written = Vec::new();
        assert_eq!(write_conll(&mut written, [&sentence]).unwrap(), 1);
        assert_eq!(String::from_utf8(written).unwrap(), "a\tO\noë Dam\tB-P\n\n");
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
