//! The rules that look back: what was written before decides which spans are left.

use crate::Rules;
use crate::rules::Rule;
use crate::words::{self, Unit};

/// An entity that was written, at the place it takes in the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) kind: u32,
    /// Byte offsets.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// What the rules that look back have to know of a sentence.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: Box<str>,
    pub(crate) units: Vec<Unit>,
}

impl Text {
    fn piece(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// How many words a span touches.
    pub(crate) fn words(&self, start: u32, end: u32) -> u32 {
        let from = self.units.partition_point(|u| u.end <= start as usize);
        let to = self.units.partition_point(|u| u.start < end as usize);
        (to - from.min(to)) as u32
    }

    /// How often the sentence holds this piece, as answers are read back: as whole words, and inside words only where it
    /// is no whole word anywhere (and never, where only whole words count).
    pub(crate) fn held(&self, piece: &str, only_whole: bool) -> usize {
        let spans = words::occurrences(&self.text, piece);
        let whole = spans.iter().filter(|s| words::is_whole(&self.units, s.start, s.end)).count();
        if only_whole || whole > 0 { whole } else { spans.len() }
    }
}

/// The limits on the entity that is being written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) text: &'a Text,
    pub(crate) taken: &'a [Taken],
    /// The type of the entity, where it is known already.
    pub(crate) kind: Option<u32>,
    /// How many types there are.
    pub(crate) kinds: usize,
}

impl Limits<'_> {
    /// Whether a span may begin here.
    pub(crate) fn permits_start(&self, start: u32) -> bool {
        !self.rules.contains(Rule::Ordered) || self.taken.last().is_none_or(|last| start >= last.start)
    }

    /// Whether the span is short enough and free. If not, no longer one is either.
    pub(crate) fn permits(&self, start: u32, end: u32) -> bool {
        let free = !self.rules.contains(Rule::NoOverlap) || self.taken.iter().all(|t| end <= t.start || t.end <= start);
        free && (!self.rules.contains(Rule::MaxSpan) || self.text.words(start, end) <= self.rules.max_span)
    }

    /// Whether the content was written as often as `no-repeat` lets it.
    pub(crate) fn used_up(&self, start: u32, end: u32) -> bool {
        if !self.rules.contains(Rule::NoRepeat) || self.taken.is_empty() {
            return false;
        }
        let piece = self.text.piece(start, end);
        let same = || self.taken.iter().filter(|t| self.text.piece(t.start, t.end) == piece);
        if same().next().is_none() {
            return false;
        }
        let held = self.text.held(piece, self.rules.contains(Rule::WordBoundary));
        match self.kind {
            Some(kind) => same().filter(|t| t.kind == kind).count() >= held,
            // The type comes later: the content is used up when every type has used it up.
            None => {
                let mut kinds: Vec<u32> = same().map(|t| t.kind).collect();
                kinds.sort_unstable();
                let full = kinds.chunk_by(|a, b| a == b).filter(|copies| copies.len() >= held).count();
                full >= self.kinds
            }
        }
    }
}
