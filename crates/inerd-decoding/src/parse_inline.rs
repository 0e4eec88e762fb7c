//! Reading the inline layout, where the sentence itself says what is content and what is a mark.

use inerd_text::Span;

use crate::parse::{Piece, Reader};

/// Steps of the search for a reading that reproduces the sentence.
const BUDGET: usize = 200_000;

/// Marks nested deeper than this are text.
const DEEPEST: usize = 16;

/// How far a reading has come.
#[derive(Debug, Clone, Default)]
struct Reading {
    output: usize,
    text: usize,
    /// Entities that are open: type, where the mark stands in the output, where the content begins in the sentence.
    open: Vec<(String, usize, Option<usize>)>,
    done: Vec<Piece>,
}

impl Reader<'_> {
    pub(crate) fn inline(&self) -> (Vec<Piece>, Vec<String>) {
        self.exact_inline().map_or_else(|| self.loose_inline(), |pieces| (pieces, Vec::new()))
    }

    fn skip(text: &str, at: usize) -> usize {
        text[at..].find(|c: char| !c.is_whitespace()).map_or(text.len(), |skip| at + skip)
    }

    /// The entities, if the output is the sentence with marks in it; white space does not count.
    ///
    /// A sentence may hold the marks as text, so a mark is tried as a mark first and as text where that leads nowhere.
    fn exact_inline(&self) -> Option<Vec<Piece>> {
        let mut stack = vec![Reading::default()];
        let mut budget = BUDGET;
        while let Some(mut reading) = stack.pop() {
            loop {
                budget = budget.checked_sub(1)?;
                reading.output = Self::skip(self.output, reading.output);
                reading.text = Self::skip(self.text, reading.text);
                let (output, text) = (&self.output[reading.output..], &self.text[reading.text..]);
                if output.is_empty() {
                    if text.is_empty() && reading.open.is_empty() {
                        reading.done.sort_by_key(|piece| piece.output.start);
                        return Some(reading.done);
                    }
                    break;
                }
                let common = output.chars().next().filter(|&c| text.starts_with(c));
                let as_mark = self.opened(&reading).or_else(|| self.closed(&reading));
                let before = match (as_mark, common) {
                    (Some(mark), Some(_)) => Some(std::mem::replace(&mut reading, mark)),
                    (Some(mark), None) => {
                        reading = mark;
                        continue;
                    }
                    (None, Some(_)) => None,
                    (None, None) => break,
                };
                let Some(c) = common else { break };
                let as_text = |reading: &mut Reading| {
                    for (_, _, start) in &mut reading.open {
                        start.get_or_insert(reading.text);
                    }
                    reading.output += c.len_utf8();
                    reading.text += c.len_utf8();
                };
                if let Some(mut other) = before {
                    as_text(&mut other);
                    stack.push(other);
                } else {
                    as_text(&mut reading);
                }
            }
        }
        None
    }

    /// Reads an opening mark, a type of the schema and the separator.
    fn opened(&self, reading: &Reading) -> Option<Reading> {
        let rest = self.output[reading.output..].strip_prefix(self.grammar.marks[0].as_str())?;
        let tcs = self.grammar.marks[1].as_str();
        let (name, behind) = rest
            .match_indices(tcs)
            .map(|(at, _)| (rest[..at].trim(), &rest[at + tcs.len()..]))
            .take(8)
            .find(|(name, _)| self.kinds.contains_key(*name))?;
        let mut next = reading.clone();
        next.open.push((self.kinds.get(name)?.clone(), reading.output, None));
        next.output = self.output.len() - behind.len();
        Some(next)
    }

    /// Reads a closing mark.
    fn closed(&self, reading: &Reading) -> Option<Reading> {
        let close = self.grammar.marks[2].as_str();
        if !self.output[reading.output..].starts_with(close) {
            return None;
        }
        let mut next = reading.clone();
        next.output += close.len();
        let (kind, from, start) = next.open.pop()?;
        let end = self.text[..reading.text].trim_end().len();
        let span = Span::new(start?, end);
        let surface = span.of(self.text).filter(|s| !s.is_empty())?.to_owned();
        next.done.push(Piece { kind, surface, output: Span::new(from, next.output), span: Some(span) });
        Some(next)
    }

    /// Whatever stands between marks, where the output is not the sentence.
    fn loose_inline(&self) -> (Vec<Piece>, Vec<String>) {
        let [open, tcs, close] = self.grammar.marks.each_ref().map(String::as_str);
        let (mut pieces, mut unparsable) = (Vec::new(), Vec::new());
        // Where entities that are open begin.
        let mut begun: Vec<usize> = Vec::new();
        let mut at = 0;
        while let Some(rest) = self.output.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(open) && begun.len() < DEEPEST {
                begun.push(at);
                at += open.len();
            } else if rest.starts_with(close) {
                at += close.len();
                let Some(start) = begun.pop() else { continue };
                let inner = &self.output[start + open.len()..at - close.len()];
                match inner.split_once(tcs).map(|(kind, surface)| (kind.trim(), surface.trim())) {
                    Some((kind, surface)) if !kind.is_empty() && !surface.is_empty() => pieces.push(Piece {
                        kind: self.kinds.get(kind).map_or(kind, |k| k).to_owned(),
                        surface: self.without_marks(surface),
                        output: Span::new(start, at),
                        span: None,
                    }),
                    _ => unparsable.push(self.output[start..at].to_owned()),
                }
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        unparsable.extend(begun.first().map(|&start| self.output[start..].to_owned()));
        pieces.sort_by_key(|piece| piece.output.start);
        (pieces, unparsable)
    }

    /// A surface without the marks of the entities inside it.
    fn without_marks(&self, surface: &str) -> String {
        let [open, tcs, close] = self.grammar.marks.each_ref().map(String::as_str);
        let mut out = String::new();
        let mut rest = surface;
        while let Some(at) = rest.find(open) {
            out.push_str(&rest[..at]);
            rest = rest[at..].split_once(tcs).map_or("", |(_, behind)| behind);
        }
        out.push_str(rest);
        out.split(close).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}
