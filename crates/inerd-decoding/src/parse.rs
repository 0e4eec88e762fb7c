//! From text back to entities. Nothing that a model can write makes these functions panic.

use inerd_text::{Schema, Span};

use crate::grammar::Grammar;
use crate::words;

/// An entity as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: String,
    pub(crate) surface: String,
    /// Where the record stands in the output.
    pub(crate) output: Span,
}

/// Splits an output into records.
///
/// A content may hold the separators itself ("Mission : Impossible"), so the first separator is not always the one that
/// counts. The reading with every type in the schema and every content in the sentence is searched first, the shortest
/// content tried first; where there is none, the output is cut at the first separators.
pub(crate) fn records(
    output: &str,
    text: &str,
    grammar: &Grammar,
    schema: &Schema,
    truncated: bool,
) -> (Vec<Piece>, Vec<String>) {
    let reader = Reader { output, text, grammar, schema };
    let mut pieces = Vec::new();
    let mut unparsable = Vec::new();
    let mut at = 0;
    while let Some(start) = reader.skip_space(at) {
        if let Some((piece, end)) = reader.record(start) {
            pieces.push(piece);
            at = end;
        } else if let Some(stop) = reader.output[start..].find(reader.mark(2)) {
            let stop = start + stop;
            unparsable.push(output[start..stop].trim().to_owned());
            at = stop + reader.mark(2).len();
        } else {
            // A complete record that lacks nothing but the last separator is read, unless it was cut off.
            match reader.split(start, output.len()).filter(|_| !truncated) {
                Some(piece) => pieces.push(piece),
                None => unparsable.push(output[start..].trim().to_owned()),
            }
            break;
        }
    }
    (pieces, unparsable)
}

struct Reader<'a> {
    output: &'a str,
    text: &'a str,
    grammar: &'a Grammar,
    schema: &'a Schema,
}

impl Reader<'_> {
    fn mark(&self, which: usize) -> &str {
        self.grammar.marks[which].trim()
    }

    /// The next character that is no white space.
    fn skip_space(&self, at: usize) -> Option<usize> {
        let rest = self.output.get(at..)?;
        rest.find(|c: char| !c.is_whitespace()).map(|skip| at + skip)
    }

    /// The record that begins at `start`, and where it ends.
    fn record(&self, start: usize) -> Option<(Piece, usize)> {
        let mark = self.mark(2);
        let mut first = None;
        for (stop, _) in self.output[start..].match_indices(mark) {
            let (stop, end) = (start + stop, start + stop + mark.len());
            let Some(piece) = self.split(start, stop) else { continue };
            let sound = self.schema.contains(&piece.kind) && self.text.contains(&piece.surface);
            if sound && self.plausible(end) {
                return Some((piece, end));
            }
            first.get_or_insert((piece, end));
        }
        first
    }

    /// Whether an output may go on like this behind a record.
    fn plausible(&self, at: usize) -> bool {
        let Some(start) = self.skip_space(at) else { return true };
        let rest = &self.output[start..];
        if self.grammar.type_first {
            let Some(rest) = rest.strip_prefix(self.mark(0)) else { return false };
            self.schema.types().iter().any(|kind| {
                rest.strip_prefix(kind.trim()).is_some_and(|rest| rest.trim_start().starts_with(self.mark(1)))
            })
        } else {
            rest.contains(self.mark(1))
        }
    }

    /// A record without its last separator.
    fn split(&self, start: usize, stop: usize) -> Option<Piece> {
        let record = self.output.get(start..stop)?.strip_prefix(self.mark(0))?;
        let mark = self.mark(1);
        let mut first = None;
        for (at, _) in record.match_indices(mark) {
            let (left, right) = (record[..at].trim(), record[at + mark.len()..].trim());
            let (kind, surface) = if self.grammar.type_first { (left, right) } else { (right, left) };
            if kind.is_empty() || surface.is_empty() {
                continue;
            }
            let piece = Piece {
                kind: self.schema.types().iter().find(|t| t.trim() == kind).map_or(kind, |t| t).to_owned(),
                surface: surface.to_owned(),
                output: Span::new(start, stop),
            };
            if self.schema.contains(&piece.kind) && self.text.contains(&piece.surface) {
                return Some(piece);
            }
            first.get_or_insert(piece);
        }
        first
    }
}

/// Gives every surface its place in the sentence: the **leftmost free occurrence**.
///
/// Whole-word occurrences count, and others only where there is no whole-word one. Free is one that shares nothing
/// with an earlier entity; where there is none, one that is not taken by an earlier entity of the same type (nested
/// entities); where there is none either, the surface stays unaligned: the sentence holds it less often than the answer.
pub(crate) fn align(text: &str, pieces: &[Piece]) -> Vec<Option<Span>> {
    let units = words::units(text);
    let mut taken: Vec<(Span, &str)> = Vec::new();
    pieces
        .iter()
        .map(|piece| {
            let all = occurrences(text, &piece.surface);
            let whole: Vec<Span> =
                all.iter().copied().filter(|span| words::is_whole(&units, span.start, span.end)).collect();
            let candidates = if whole.is_empty() { &all } else { &whole };
            let apart = |span: &&Span| !taken.iter().any(|(other, _)| other.overlaps(**span));
            let own = |span: &&Span| !taken.iter().any(|&(other, kind)| other == **span && kind == piece.kind);
            let span = candidates.iter().find(apart).or_else(|| candidates.iter().find(own)).copied();
            taken.extend(span.map(|span| (span, piece.kind.as_str())));
            span
        })
        .collect()
}

/// Every place where the sentence holds the surface, overlapping ones included.
fn occurrences(text: &str, surface: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut from = 0;
    let Some(first) = surface.chars().next() else { return found };
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(surface)) {
        let start = from + at;
        found.push(Span::new(start, start + surface.len()));
        from = start + first.len_utf8();
    }
    found
}
