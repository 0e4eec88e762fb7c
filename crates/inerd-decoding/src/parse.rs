//! From text back to entities. Nothing that a model can write makes these functions panic.

use std::collections::BTreeMap;

use inerd_text::Span;
use serde::Deserialize;

use crate::grammar::Grammar;
use crate::words;
use crate::{Layout, Occurrence};

/// Stands in an output for a token that has no text of its own.
pub(crate) const UNKNOWN_TEXT: char = '\u{fffd}';

/// An entity as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: String,
    pub(crate) surface: String,
    /// Where the record stands in the output.
    pub(crate) output: Span,
    /// Where the content stands in the sentence, if the layout says so.
    pub(crate) span: Option<Span>,
}

/// What a parser needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) output: &'a str,
    pub(crate) text: &'a str,
    pub(crate) grammar: &'a Grammar,
    /// Type by written name.
    pub(crate) kinds: &'a BTreeMap<String, String>,
    /// There was no end-of-sequence.
    pub(crate) truncated: bool,
}

/// Readings tried before the search for a sound one is given up: a hostile output could take exponential time.
const BUDGET: usize = 20_000;

impl Reader<'_> {
    /// Splits an output into entities and pieces that are none.
    pub(crate) fn read(&self) -> (Vec<Piece>, Vec<String>) {
        match self.grammar.layout {
            Layout::Paper | Layout::ContentFirst => self.records(),
            Layout::Json => self.json(),
            Layout::Inline => self.inline(),
        }
    }

    fn mark(&self, which: usize) -> &str {
        &self.grammar.marks[which]
    }

    /// The next character that is no white space.
    fn skip_space(&self, at: usize) -> Option<usize> {
        let rest = self.output.get(at..)?;
        rest.find(|c: char| !c.is_whitespace()).map(|skip| at + skip)
    }

    /// A content may hold the separators itself ("Mission : Impossible"), so the first separator is not always the one
    /// that counts. The reading with every type in the schema and every content in the sentence is searched first, the
    /// shortest content tried first; where there is none, the output is cut at the first separators.
    fn records(&self) -> (Vec<Piece>, Vec<String>) {
        // What a truncated answer breaks off in the middle of is no record.
        let end = match self.output.rfind(self.mark(2)) {
            Some(at) if self.truncated => at + self.mark(2).len(),
            _ => self.output.len(),
        };
        if let Some(pieces) = self.sound_records(end) {
            let rest = self.output[end..].trim();
            return (pieces, if rest.is_empty() { Vec::new() } else { vec![rest.to_owned()] });
        }
        let mut pieces = Vec::new();
        let mut unparsable = Vec::new();
        let mut at = 0;
        while let Some(start) = self.skip_space(at) {
            let stop = self.output[start..].find(self.mark(2)).map(|stop| start + stop);
            let end = stop.unwrap_or(self.output.len());
            // A complete record that lacks nothing but the last separator is read, unless it was cut off.
            match self.record(start, end).filter(|_| stop.is_some() || !self.truncated) {
                Some((piece, _)) => pieces.push(piece),
                None if self.output[start..end].trim().is_empty() => {}
                None => unparsable.push(self.output[start..end].trim().to_owned()),
            }
            at = end + self.mark(2).len();
        }
        (pieces, unparsable)
    }

    /// All records up to `end`, if they can be read so that each is sound.
    fn sound_records(&self, end: usize) -> Option<Vec<Piece>> {
        let mut budget = BUDGET;
        let mut pieces: Vec<Piece> = Vec::new();
        // Where each record begins, and where the search for its end goes on.
        let mut open = vec![(self.skip_space(0).unwrap_or(end), 0)];
        let mut dead = std::collections::BTreeSet::new();
        // No sound record is longer.
        let longest = self.text.len() + self.kinds.keys().map(String::len).max().unwrap_or(0) + 64;
        while let Some((start, tried)) = open.last_mut() {
            if *start >= end {
                return Some(pieces);
            }
            let start = *start;
            let from = (*tried).max(start);
            let found = self.output[from..end].find(self.mark(2)).map(|stop| from + stop);
            let found = found.filter(|stop| stop - start <= longest);
            budget = budget.checked_sub(1)?;
            let Some(stop) = found else {
                dead.insert(start);
                open.pop();
                pieces.pop();
                continue;
            };
            let behind = stop + self.mark(2).len();
            *tried = behind;
            let next = self.skip_space(behind).unwrap_or(end);
            if dead.contains(&next) {
                continue;
            }
            if let Some((piece, true)) = self.record(start, stop) {
                pieces.push(piece);
                open.push((next, 0));
            }
        }
        None
    }

    /// A record without its last separator, and whether it is sound: its type in the schema, its content in the
    /// sentence. Of several ways to split it, a sound one.
    fn record(&self, start: usize, stop: usize) -> Option<(Piece, bool)> {
        let record = self.output.get(start..stop)?;
        let mark = self.mark(1);
        let mut first = None;
        for (at, _) in record.match_indices(mark) {
            let (left, right) = (record[..at].trim(), record[at + mark.len()..].trim());
            let (kind, surface) = if self.grammar.type_first { (left, right) } else { (right, left) };
            if kind.is_empty() || surface.is_empty() {
                continue;
            }
            let known = self.kinds.get(kind);
            let piece = Piece {
                kind: known.map_or(kind, |kind| kind).to_owned(),
                surface: surface.to_owned(),
                output: Span::new(start, stop),
                span: None,
            };
            if known.is_some() && holds(self.text, surface) {
                return Some((piece, true));
            }
            first.get_or_insert((piece, false));
        }
        first
    }

    fn json(&self) -> (Vec<Piece>, Vec<String>) {
        #[derive(Deserialize)]
        struct Record {
            #[serde(rename = "type")]
            kind: String,
            text: String,
        }
        let mut pieces = Vec::new();
        let mut unparsable = Vec::new();
        let mut at = 0;
        for line in self.output.split_inclusive('\n') {
            let output = Span::new(at, at + line.len());
            at = output.end;
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<Record>(line.trim()) {
                Ok(Record { kind, text }) => {
                    let kind = self.kinds.get(&kind).cloned().unwrap_or(kind);
                    pieces.push(Piece { kind, surface: text, output, span: None });
                }
                Err(_) => unparsable.push(line.trim().to_owned()),
            }
        }
        (pieces, unparsable)
    }
}

/// Whether a text holds a surface, in which [`UNKNOWN_TEXT`] stands for any character.
pub(crate) fn holds(text: &str, surface: &str) -> bool {
    if surface.contains(UNKNOWN_TEXT) && !text.contains(surface) {
        return !unknown_occurrences(text, surface).is_empty();
    }
    text.contains(surface)
}

/// Gives every surface its place in the sentence: the **leftmost free occurrence**.
///
/// Whole-word occurrences count, and others only where there is no whole-word one. Free is one that shares nothing
/// with an earlier entity; where there is none, one that is not taken by an earlier entity of the same type (nested
/// entities); where there is none either, the surface stays unaligned: the sentence holds it less often than the answer.
pub(crate) fn align(text: &str, pieces: &[Piece], occurrence: Occurrence) -> Vec<Option<Span>> {
    let units = words::units(text);
    let mut taken: Vec<(Span, &str)> = Vec::new();
    let mut last = 0;
    let mut place = |piece: &Piece, taken: &[(Span, &str)]| {
        if piece.span.is_some() {
            return piece.span;
        }
        let mut all = words::occurrences(text, &piece.surface);
        if all.is_empty() && piece.surface.contains(UNKNOWN_TEXT) {
            all = unknown_occurrences(text, &piece.surface);
        }
        let whole: Vec<Span> =
            all.iter().copied().filter(|span| words::is_whole(&units, span.start, span.end)).collect();
        let candidates = if whole.is_empty() { &all } else { &whole };
        let apart = |span: &&Span| !taken.iter().any(|(other, _)| other.overlaps(**span));
        let own = |span: &&Span| !taken.iter().any(|&(other, kind)| other == **span && kind == piece.kind);
        let later = |span: &&Span| span.start >= last;
        let in_order = || {
            let apart_later = candidates.iter().find(|s| later(s) && apart(s));
            apart_later.or_else(|| candidates.iter().find(|s| later(s) && own(s)))
        };
        let found = match occurrence {
            Occurrence::InOrder => in_order(),
            Occurrence::LeftmostFree => None,
        };
        let found = found.or_else(|| candidates.iter().find(apart)).or_else(|| candidates.iter().find(own)).copied();
        last = found.map_or(last, |span| span.start);
        found
    };
    pieces
        .iter()
        .map(|piece| {
            let span = place(piece, &taken);
            taken.extend(span.map(|span| (span, piece.kind.as_str())));
            span
        })
        .collect()
}

/// The places that agree with a surface, in which [`UNKNOWN_TEXT`] stands for one or more characters.
fn unknown_occurrences(text: &str, surface: &str) -> Vec<Span> {
    let parts: Vec<&str> = surface.split(UNKNOWN_TEXT).collect();
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter_map(|start| Some(Span::new(start, unknown_end(text, start, &parts)?))).collect()
}

/// Where the shortest match of `parts`, with gaps between them, ends.
fn unknown_end(text: &str, start: usize, parts: &[&str]) -> Option<usize> {
    let (first, rest) = parts.split_first()?;
    let mut at = start + text.get(start..)?.strip_prefix(first).map(|_| first.len())?;
    for part in rest {
        let gap = text.get(at..)?;
        let mut skip = gap.char_indices().map(|(i, c)| at + i + c.len_utf8());
        at = skip.find(|&i| text[i..].starts_with(part))? + part.len();
    }
    Some(at)
}
