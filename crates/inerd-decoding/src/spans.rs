//! All spans of one sentence that a content may copy, as a sorted list of token strings.
//!
//! The sentence becomes a *chain* of tokens, unit by unit: the prompt's own tokens where they begin and end with the
//! unit, else the unit spelled anew. A span is a piece of the chain; only its first unit may differ, because a content
//! stands behind a space that the sentence may not have there ("Ada" at its start, "(Ada"). So a start is a *head* (a
//! few tokens, often none) and the place where the chain goes on. With the starts sorted by the tokens they lead to
//! (a suffix array), the starts that agree with what was written so far are a range, the tokens that may follow are
//! read off that range, and taking one narrows it: no table of states has to be built for a sentence.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use inerd_text::Span;

use crate::tokenizer::Speller;
use crate::words::{self, Unit};

/// How contents are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentStyle {
    /// A space between the separator and the content.
    pub(crate) leading_space: bool,
    /// Quotes, backslashes and control characters are escaped as in JSON strings.
    pub(crate) escaped: bool,
}

impl ContentStyle {
    pub(crate) fn render<'a>(self, piece: &'a str) -> Cow<'a, str> {
        if !self.escaped || !piece.contains(|c: char| c == '"' || c == '\\' || c.is_ascii_control()) {
            return Cow::Borrowed(piece);
        }
        let mut out = String::with_capacity(piece.len() + 4);
        for c in piece.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => {
                    // Writing to a string can't fail.
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        Cow::Owned(out)
    }

    fn head(self, piece: &str) -> String {
        let space = if self.leading_space { " " } else { "" };
        format!("{space}{}", self.render(piece))
    }
}

/// Where a content may begin.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// The tokens of the first unit, where they differ from the chain's.
    head: (u32, u32),
    /// Where the chain goes on behind the head.
    chain: u32,
    /// Byte offset in the text.
    offset: u32,
}

impl Start {
    const fn head_len(&self) -> u32 {
        self.head.1 - self.head.0
    }
}

/// The starts that agree with the `depth` tokens written so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) low: u32,
    pub(crate) high: u32,
    pub(crate) depth: u32,
}

impl Range {
    pub(crate) const fn is_empty(self) -> bool {
        self.low >= self.high
    }
}

const NO_END: u32 = u32::MAX;

/// Built per sentence.
#[derive(Debug)]
pub(crate) struct SpanIndex {
    /// The chain, then the heads.
    tokens: Vec<u32>,
    chain_len: u32,
    /// Per place between two tokens of the chain: the byte offset of the span's end there, or `NO_END`.
    ends: Vec<u32>,
    /// Sorted by the tokens they lead to.
    starts: Vec<Start>,
    /// The distinct first tokens, sorted.
    first: Vec<u32>,
}

/// The place of every unit in the chain.
struct Chain {
    tokens: Vec<u32>,
    ends: Vec<u32>,
    heads: Vec<u32>,
    starts: Vec<Start>,
}

impl SpanIndex {
    /// `prompt` are the tokens of `text`. With `inside_words`, spans may also begin and end at tokens inside a word.
    pub(crate) fn new(text: &str, prompt: &[u32], speller: &Speller, style: ContentStyle, inside_words: bool) -> Self {
        let units = words::units(text);
        let offsets = Offsets::new(text, prompt, speller);
        let mut chain = Chain {
            tokens: Vec::with_capacity(prompt.len() + 16),
            ends: Vec::with_capacity(prompt.len() + 16),
            heads: Vec::new(),
            starts: Vec::with_capacity(units.len()),
        };
        for unit in &units {
            chain.push(text, *unit, prompt, &offsets, speller, style, inside_words);
        }
        // The end of the last unit.
        chain.ends.push(units.last().map_or(NO_END, |u| u.end as u32));
        if let Some(first) = chain.ends.first_mut() {
            *first = NO_END;
        }
        let chain_len = chain.tokens.len() as u32;
        let mut tokens = chain.tokens;
        tokens.extend_from_slice(&chain.heads);
        for start in &mut chain.starts {
            start.head.0 += chain_len;
            start.head.1 += chain_len;
        }
        let mut index = Self { tokens, chain_len, ends: chain.ends, starts: chain.starts, first: Vec::new() };
        index.sort();
        index
    }

    fn sort(&mut self) {
        let mut starts = std::mem::take(&mut self.starts);
        starts.sort_unstable_by(|a, b| self.compare(a, b).then(a.offset.cmp(&b.offset)));
        self.starts = starts;
        self.first = Vec::with_capacity(self.starts.len());
        for start in &self.starts {
            if let Some(token) = self.symbol(start, 0)
                && self.first.last() != Some(&token)
            {
                self.first.push(token);
            }
        }
    }

    fn compare(&self, a: &Start, b: &Start) -> Ordering {
        let mut depth = 0;
        loop {
            match (self.symbol(a, depth), self.symbol(b, depth)) {
                (None, None) => return Ordering::Equal,
                (x, y) if x == y => depth += 1,
                (x, y) => return x.cmp(&y),
            }
        }
    }

    /// The token that a start leads to after `depth` others; `None` behind the end of the sentence.
    fn symbol(&self, start: &Start, depth: u32) -> Option<u32> {
        let head = start.head_len();
        if depth < head {
            return self.tokens.get((start.head.0 + depth) as usize).copied();
        }
        let at = start.chain + depth - head;
        if at < self.chain_len { self.tokens.get(at as usize).copied() } else { None }
    }

    /// The end of the span that begins at `start` and has `depth` tokens.
    fn end(&self, start: &Start, depth: u32) -> Option<u32> {
        let chained = depth.checked_sub(start.head_len())?;
        if depth == 0 {
            return None;
        }
        self.ends.get((start.chain + chained) as usize).copied().filter(|&end| end != NO_END)
    }

    pub(crate) fn all(&self) -> Range {
        Range { low: 0, high: self.starts.len() as u32, depth: 0 }
    }

    /// The tokens that a content may begin with, sorted.
    pub(crate) fn first(&self) -> &[u32] {
        &self.first
    }

    fn of(&self, range: Range) -> &[Start] {
        self.starts.get(range.low as usize..range.high as usize).unwrap_or_default()
    }

    /// Appends the tokens that may follow within the content, sorted.
    pub(crate) fn next(&self, range: Range, out: &mut Vec<u32>) {
        if range.depth == 0 {
            out.extend_from_slice(&self.first);
            return;
        }
        let mut starts = self.of(range);
        while let Some(first) = starts.first() {
            let token = self.symbol(first, range.depth);
            out.extend(token);
            if starts.len() == 1 {
                break;
            }
            let same = starts.partition_point(|s| self.symbol(s, range.depth) <= token);
            starts = &starts[same..];
        }
    }

    /// The starts that agree with one more token.
    pub(crate) fn narrow(&self, range: Range, token: u32) -> Range {
        let starts = self.of(range);
        let low = starts.partition_point(|s| self.symbol(s, range.depth) < Some(token));
        let same = starts[low..].partition_point(|s| self.symbol(s, range.depth) == Some(token));
        let low = range.low + low as u32;
        Range { low, high: low + same as u32, depth: range.depth + 1 }
    }

    /// Whether a span may end here.
    pub(crate) fn may_end(&self, range: Range) -> bool {
        self.of(range).iter().any(|s| self.end(s, range.depth).is_some())
    }

    /// The tokens of a whole-word span, or `None` where no such span begins and ends there.
    pub(crate) fn tokens_of(&self, span: Span) -> Option<Vec<u32>> {
        let start = (self.starts.iter()).filter(|s| s.offset as usize == span.start).max_by_key(|s| s.head_len())?;
        let mut tokens = Vec::new();
        let mut depth = 0;
        loop {
            if self.end(start, depth).is_some_and(|end| end as usize == span.end) {
                return Some(tokens);
            }
            tokens.push(self.symbol(start, depth)?);
            depth += 1;
        }
    }

    /// Every token that some content may hold, sorted: the paper's bag of input tokens.
    pub(crate) fn bag(&self) -> Vec<u32> {
        let mut bag = self.tokens.clone();
        bag.sort_unstable();
        bag.dedup();
        bag
    }

    /// Every pair of tokens that follow each other in some content, sorted.
    pub(crate) fn pairs(&self) -> Vec<(u32, u32)> {
        let chain = &self.tokens[..self.chain_len as usize];
        let mut pairs: Vec<(u32, u32)> = chain.windows(2).map(|w| (w[0], w[1])).collect();
        for start in self.starts.iter().filter(|s| s.head_len() > 0) {
            let symbols = (0..=start.head_len()).map_while(|depth| self.symbol(start, depth));
            let symbols: Vec<u32> = symbols.collect();
            pairs.extend(symbols.windows(2).map(|w| (w[0], w[1])));
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

impl Chain {
    #[expect(clippy::too_many_arguments, reason = "one call; a struct of references would only rename them")]
    fn push(
        &mut self,
        text: &str,
        unit: Unit,
        prompt: &[u32],
        offsets: &Offsets,
        speller: &Speller,
        style: ContentStyle,
        inside_words: bool,
    ) {
        let word = text.get(unit.start..unit.end).unwrap_or_default();
        let begin = self.tokens.len() as u32;
        let escapes = matches!(style.render(word), Cow::Owned(_));
        let own = if escapes { None } else { offsets.tokens(unit.space, unit.end) };
        // A space that only the tokens have, in front of the first word.
        let mut extra_space = false;
        if let Some((from, to)) = own {
            self.tokens.extend_from_slice(&prompt[from..to]);
            extra_space = offsets.extra_space && from == 0;
        } else {
            let piece = text.get(unit.space..unit.end).unwrap_or_default();
            speller.spell(&style.render(piece), &mut self.tokens);
        }
        let space = &text[unit.space..unit.start];
        let wanted = if style.leading_space { " " } else { "" };
        let as_head = if extra_space { wanted == " " && space.is_empty() } else { space == wanted };
        self.ends.resize(self.tokens.len(), NO_END);
        // The unit before ends where this one begins.
        if let Some(end) = self.ends.get_mut(begin as usize) {
            *end = unit.space as u32;
        }
        if as_head {
            self.starts.push(Start { head: (0, 0), chain: begin, offset: unit.start as u32 });
        } else {
            let head = self.head(&style.head(word), speller);
            self.starts.push(Start { head, chain: self.tokens.len() as u32, offset: unit.start as u32 });
        }
        if inside_words && let Some((from, to)) = own {
            self.cut(text, unit, &offsets.starts[from..=to], begin, as_head, speller, style);
        }
    }

    fn head(&mut self, piece: &str, speller: &Speller) -> (u32, u32) {
        let from = self.heads.len() as u32;
        speller.spell(piece, &mut self.heads);
        (from, self.heads.len() as u32)
    }

    /// Starts and ends at the tokens inside a word.
    #[expect(clippy::too_many_arguments, reason = "one call; a struct of references would only rename them")]
    fn cut(
        &mut self,
        text: &str,
        unit: Unit,
        offsets: &[usize],
        begin: u32,
        whole_as_head: bool,
        speller: &Speller,
        style: ContentStyle,
    ) {
        for (i, ends) in offsets.windows(2).enumerate() {
            let (from, to) = (ends[0].max(unit.start), ends[1]);
            // A token that holds the space alone, or ends within a character, is no place to begin or end.
            let Some(piece) = text.get(from..to).filter(|p| !p.is_empty()) else { continue };
            if i > 0 && text.is_char_boundary(ends[0]) && ends[0] > unit.start {
                self.ends[begin as usize + i] = ends[0] as u32;
            }
            if i == 0 && whole_as_head {
                continue;
            }
            if style.leading_space {
                let head = self.head(&style.head(piece), speller);
                self.starts.push(Start { head, chain: begin + i as u32 + 1, offset: from as u32 });
            } else {
                self.starts.push(Start { head: (0, 0), chain: begin + i as u32, offset: from as u32 });
            }
        }
    }
}

/// Where the prompt's tokens begin in the text.
struct Offsets {
    /// Of every token and of the end, as far as the tokens spell the text.
    starts: Vec<usize>,
    extra_space: bool,
}

impl Offsets {
    fn new(text: &str, prompt: &[u32], speller: &Speller) -> Self {
        let mut starts = Vec::with_capacity(prompt.len() + 1);
        starts.push(0);
        let mut rest = text.as_bytes();
        let mut extra_space = false;
        for (i, &id) in prompt.iter().enumerate() {
            let mut bytes = speller.tokenizer().token_bytes(id);
            if i == 0
                && speller.prefixes_space()
                && let Some(stripped) = bytes.strip_prefix(b" ")
            {
                extra_space = true;
                bytes = stripped;
            } else if bytes.is_empty() {
                break;
            }
            let Some(tail) = rest.strip_prefix(bytes) else { break };
            rest = tail;
            starts.push(text.len() - rest.len());
        }
        Self { starts, extra_space }
    }

    /// The tokens that spell exactly `from..to`.
    fn tokens(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        // The first of equal offsets: a space that the tokenizer put in front has no width in the text.
        let first = self.starts.partition_point(|&s| s < from);
        let last = first + self.starts[first..].partition_point(|&s| s < to);
        (self.starts.get(first) == Some(&from) && self.starts.get(last) == Some(&to)).then_some((first, last))
    }
}
