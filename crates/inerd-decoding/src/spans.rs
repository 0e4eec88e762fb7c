//! All spans of one sentence that a content may copy, as a sorted list of symbol strings.
//!
//! The sentence becomes a *chain* of symbols, unit by unit. At token level these are tokens: the prompt's own where they
//! begin and end with the unit, else the unit spelled anew. At text level they are bytes. A span is a piece of the
//! chain; only its first unit may differ, because a content stands behind a space that the sentence may not have there
//! ("Ada" at its start, "(Ada"). So a start is a *head* (a few symbols, often none) and the place where the chain goes
//! on. With the starts sorted by the symbols they lead to (a suffix array), the starts that agree with what was written
//! so far are a range, the symbols that may follow are read off that range, and taking one narrows it: no table of
//! states has to be built for a sentence.

use std::cmp::Ordering;
use std::sync::Arc;

use inerd_text::Span;

use crate::chain::{Chain, NO_END, Start};
use crate::limits::Limits;
use crate::vocabulary::{UNKNOWN, Vocabulary};

/// The starts that agree with the `depth` symbols written so far.
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

/// Built per sentence.
#[derive(Debug)]
pub(crate) struct SpanIndex {
    /// The chain, then the heads.
    symbols: Vec<u32>,
    chain_len: u32,
    /// Per place between two symbols of the chain: the byte offset of the span's end there, or `NO_END`.
    ends: Vec<u32>,
    /// Sorted by the symbols they lead to.
    starts: Vec<Start>,
    /// The distinct first tokens, sorted.
    first: Vec<u32>,
    /// Where every word, with the space before it, stands in the chain, and its place in `starts`. In text order.
    words: Vec<(u32, u32)>,
    /// At text level, where symbols are bytes.
    vocabulary: Option<Arc<Vocabulary>>,
}

/// Above this many symbols, starts are compared by rank and not symbol by symbol: a long text that repeats itself would
/// take quadratic time.
const RANKED: usize = 4096;

impl SpanIndex {
    pub(crate) fn new(chain: Chain, vocabulary: Option<Arc<Vocabulary>>) -> Self {
        let Chain { mut symbols, ends, heads, mut starts } = chain;
        let chain_len = symbols.len() as u32;
        symbols.extend_from_slice(&heads);
        for start in &mut starts {
            start.head.0 += chain_len;
            start.head.1 += chain_len;
        }
        let mut index = Self { symbols, chain_len, ends, starts, first: Vec::new(), words: Vec::new(), vocabulary };
        index.sort();
        let mut first = Vec::with_capacity(index.starts.len());
        index.next_tokens(index.all(), &mut first);
        index.first = first;
        index
    }

    fn sort(&mut self) {
        let mut starts = std::mem::take(&mut self.starts);
        let ranks = if self.chain_len as usize > RANKED { self.ranks() } else { Vec::new() };
        starts.sort_unstable_by(|a, b| self.compare(a, b, &ranks).then(a.offset.cmp(&b.offset)));
        self.starts = starts;
    }

    /// Finds the words again after the starts were sorted; only the inline layout asks for them.
    pub(crate) fn with_words(mut self) -> Self {
        let words = self.starts.iter().zip(0..).filter(|(s, _)| s.whole).map(|(s, i)| (s.unit, i));
        self.words = words.collect();
        self.words.sort_unstable();
        self
    }

    fn compare(&self, a: &Start, b: &Start, ranks: &[u32]) -> Ordering {
        let heads = a.head_len().max(b.head_len());
        let mut depth = 0;
        loop {
            if depth >= heads && !ranks.is_empty() {
                let rank = |s: &Start| ranks.get((s.chain + depth - s.head_len()) as usize).copied();
                return rank(a).cmp(&rank(b));
            }
            match (self.symbol(a, depth), self.symbol(b, depth)) {
                (None, None) => return Ordering::Equal,
                (x, y) if x == y => depth += 1,
                (x, y) => return x.cmp(&y),
            }
        }
    }

    /// The rank of every suffix of the chain, by prefix doubling (Manber and Myers 1993).
    fn ranks(&self) -> Vec<u32> {
        let chain = &self.symbols[..self.chain_len as usize];
        let mut order: Vec<u32> = (0..self.chain_len).collect();
        let mut ranks = chain.to_vec();
        let mut length = 0;
        loop {
            // The suffix behind the prefix that is ranked already; none sorts first.
            let behind = |ranks: &[u32], i: u32| ranks.get(i as usize + length).map_or(0, |&r| u64::from(r) + 1);
            let key = |ranks: &[u32], i: u32| {
                let tail = if length == 0 { 0 } else { behind(ranks, i) };
                (ranks[i as usize], tail)
            };
            order.sort_unstable_by_key(|&i| key(&ranks, i));
            let mut next = vec![0; ranks.len()];
            let mut rank = 0;
            for pair in order.windows(2) {
                rank += u32::from(key(&ranks, pair[0]) != key(&ranks, pair[1]));
                next[pair[1] as usize] = rank;
            }
            ranks = next;
            length = (length * 2).max(1);
            if rank as usize + 1 >= ranks.len() || length >= ranks.len() * 2 {
                return ranks;
            }
        }
    }

    /// The symbol that a start leads to after `depth` others; `None` behind the end of the sentence.
    fn symbol(&self, start: &Start, depth: u32) -> Option<u32> {
        let head = start.head_len();
        if depth < head {
            return self.symbols.get((start.head.0 + depth) as usize).copied();
        }
        let at = start.chain + depth - head;
        if at < self.chain_len { self.symbols.get(at as usize).copied() } else { None }
    }

    /// The end of the span that begins at `start` and has `depth` symbols.
    fn end(&self, start: &Start, depth: u32) -> Option<u32> {
        let chained = depth.checked_sub(start.head_len())?;
        self.ends.get((start.chain + chained) as usize).copied().filter(|&end| end != NO_END && end > start.offset)
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
    pub(crate) fn next(&self, range: Range, limits: Option<&Limits<'_>>, out: &mut Vec<u32>) {
        match limits {
            Some(limits) => self.next_within(range, limits, out),
            None if range.depth == 0 => out.extend_from_slice(&self.first),
            None => self.next_tokens(range, out),
        }
    }

    fn next_tokens(&self, range: Range, out: &mut Vec<u32>) {
        let from = out.len();
        if let Some(vocabulary) = &self.vocabulary {
            self.spell(vocabulary, Vocabulary::ROOT, range, out);
            sort_from(out, from);
        } else {
            self.for_each_symbol(range, |symbol, _| out.push(symbol));
        }
    }

    /// Gives `go` every symbol that follows in a range, in order, with the starts that lead to it.
    fn for_each_symbol(&self, range: Range, mut go: impl FnMut(u32, Range)) {
        let depth = range.depth;
        let mut low = range.low;
        while low < range.high {
            let starts = self.of(Range { low, ..range });
            let symbol = self.symbol(&starts[0], depth);
            let same = if starts.len() == 1 { 1 } else { starts.partition_point(|s| self.symbol(s, depth) <= symbol) };
            let high = low + same as u32;
            if let Some(symbol) = symbol {
                go(symbol, Range { low, high, depth: depth + 1 });
            }
            low = high;
        }
    }

    /// Appends the tokens below `node` that spell what follows in a range.
    fn spell(&self, vocabulary: &Vocabulary, node: u32, range: Range, out: &mut Vec<u32>) {
        // A single start needs no search.
        if let [start] = self.of(range) {
            self.spell_one(vocabulary, node, start, range.depth, |token, _| out.push(token));
            return;
        }
        self.for_each_symbol(range, |symbol, range| {
            if symbol == UNKNOWN && node == Vocabulary::ROOT {
                out.extend(vocabulary.unknown());
            } else if let Some(child) = vocabulary.child(node, symbol) {
                out.extend_from_slice(vocabulary.tokens(child));
                self.spell(vocabulary, child, range, out);
            }
        });
    }

    /// Gives `go` every token that spells what follows one start, with the depth behind it.
    fn spell_one(
        &self,
        vocabulary: &Vocabulary,
        mut node: u32,
        start: &Start,
        mut depth: u32,
        mut go: impl FnMut(u32, u32),
    ) {
        while let Some(symbol) = self.symbol(start, depth) {
            depth += 1;
            if symbol == UNKNOWN {
                if let Some(unknown) = vocabulary.unknown().filter(|_| node == Vocabulary::ROOT) {
                    go(unknown, depth);
                }
                return;
            }
            let Some(child) = vocabulary.child(node, symbol) else { return };
            node = child;
            for &token in vocabulary.tokens(node) {
                go(token, depth);
            }
        }
    }

    /// The same as [`SpanIndex::next`], start by start: only tokens behind which a span can still be completed.
    fn next_within(&self, range: Range, limits: &Limits<'_>, out: &mut Vec<u32>) {
        let from = out.len();
        for start in self.of(range) {
            if !limits.permits_start(start.offset) {
                continue;
            }
            if let Some(vocabulary) = &self.vocabulary {
                self.spell_one(vocabulary, Vocabulary::ROOT, start, range.depth, |token, depth| {
                    if self.completes(start, depth, limits) {
                        out.push(token);
                    }
                });
            } else if let Some(symbol) = self.symbol(start, range.depth)
                && self.completes(start, range.depth + 1, limits)
            {
                out.push(symbol);
            }
        }
        sort_from(out, from);
    }

    /// Whether a span with this start can be ended at or behind `depth`.
    fn completes(&self, start: &Start, depth: u32, limits: &Limits<'_>) -> bool {
        let longest = self.chain_len - start.chain + start.head_len();
        for depth in depth..=longest {
            if let Some(end) = self.end(start, depth) {
                if !limits.permits(start.offset, end) {
                    return false;
                }
                if !limits.used_up(start.offset, end) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether a span with some start of the range can be ended here or further on.
    pub(crate) fn can_complete(&self, range: Range, limits: &Limits<'_>) -> bool {
        let mut starts = self.of(range).iter();
        starts.any(|s| limits.permits_start(s.offset) && self.completes(s, range.depth, limits))
    }

    /// The starts that agree with one more token.
    pub(crate) fn narrow(&self, range: Range, token: u32) -> Range {
        let Some(vocabulary) = &self.vocabulary else { return self.narrow_by(range, token) };
        let nothing = Range { low: 0, high: 0, depth: 0 };
        let bytes = vocabulary.spelling(token);
        if bytes.is_empty() {
            return if vocabulary.unknown() == Some(token) { self.narrow_by(range, UNKNOWN) } else { nothing };
        }
        let mut range = range;
        for &byte in bytes {
            range = self.narrow_by(range, u32::from(byte));
            if range.is_empty() {
                return nothing;
            }
        }
        range
    }

    fn narrow_by(&self, range: Range, symbol: u32) -> Range {
        let starts = self.of(range);
        let depth = range.depth;
        if let [start] = starts {
            let high = if self.symbol(start, depth) == Some(symbol) { range.high } else { range.low };
            return Range { high, low: range.low, depth: depth + 1 };
        }
        let low = starts.partition_point(|s| self.symbol(s, depth) < Some(symbol));
        let same = starts[low..].partition_point(|s| self.symbol(s, depth) == Some(symbol));
        let low = range.low + low as u32;
        Range { low, high: low + same as u32, depth: depth + 1 }
    }

    /// The leftmost span that may end here, in bytes.
    pub(crate) fn ending(&self, range: Range, limits: Option<&Limits<'_>>) -> Option<(u32, u32)> {
        let spans = self.of(range).iter().filter_map(|s| Some((s.offset, self.end(s, range.depth)?)));
        let Some(limits) = limits else { return spans.min() };
        spans
            .filter(|&(start, end)| {
                limits.permits_start(start) && limits.permits(start, end) && !limits.used_up(start, end)
            })
            .min()
    }

    /// Whether a span may end here.
    pub(crate) fn may_end(&self, range: Range) -> bool {
        self.of(range).iter().any(|s| self.end(s, range.depth).is_some())
    }

    /// Where the word of this number stands in the chain, and its start; behind the last word, the chain's end.
    pub(crate) fn word(&self, number: usize) -> (u32, u32) {
        self.words.get(number).copied().unwrap_or((self.chain_len, u32::MAX))
    }

    /// The start of the word that begins at this place of the chain.
    pub(crate) fn word_at(&self, at: u32) -> Option<u32> {
        self.words.binary_search_by_key(&at, |&(unit, _)| unit).ok().map(|i| self.words[i].1)
    }

    /// How many words of the chain are touched before this place.
    pub(crate) fn words_before(&self, at: u32) -> u32 {
        self.words.partition_point(|&(unit, _)| unit < at) as u32
    }

    pub(crate) fn chain_len(&self) -> u32 {
        self.chain_len
    }

    /// Whether a word ends at this place of the chain.
    pub(crate) fn word_ends(&self, at: u32) -> bool {
        self.ends.get(at as usize).is_some_and(|&end| end != NO_END)
    }

    /// Where the chain goes on behind `depth` symbols of a start, or `Err` with the depth within its head.
    pub(crate) fn chain_behind(&self, start: u32, depth: u32) -> Result<u32, u32> {
        let Some(start) = self.starts.get(start as usize) else { return Err(depth) };
        depth.checked_sub(start.head_len()).map_or(Err(depth), |chained| Ok(start.chain + chained))
    }

    /// Gives `go` every token that may follow within one start, with the depth behind it.
    pub(crate) fn tokens_from(&self, start: u32, depth: u32, go: impl FnMut(u32, u32)) {
        if let Some(start) = self.starts.get(start as usize) {
            self.tokens_of(start, depth, go);
        }
    }

    /// Gives `go` every token that may follow in the chain, with the place behind it.
    pub(crate) fn tokens_at(&self, at: u32, mut go: impl FnMut(u32, u32)) {
        let start = Start { head: (0, 0), chain: at, unit: at, offset: 0, whole: true };
        self.tokens_of(&start, 0, |token, depth| go(token, at + depth));
    }

    fn tokens_of(&self, start: &Start, depth: u32, mut go: impl FnMut(u32, u32)) {
        if let Some(vocabulary) = &self.vocabulary {
            self.spell_one(vocabulary, Vocabulary::ROOT, start, depth, go);
        } else if let Some(symbol) = self.symbol(start, depth) {
            go(symbol, depth + 1);
        }
    }

    /// The symbols between two places of the chain.
    pub(crate) fn chain(&self, from: u32, to: u32) -> &[u32] {
        self.symbols.get(from as usize..to.min(self.chain_len) as usize).unwrap_or_default()
    }

    /// The head of a start.
    pub(crate) fn head(&self, start: u32) -> &[u32] {
        let head = self.starts.get(start as usize).map_or((0, 0), |s| s.head);
        self.symbols.get(head.0 as usize..head.1 as usize).unwrap_or_default()
    }

    /// The symbols of a span, or `None` where no span begins and ends there.
    pub(crate) fn symbols_of(&self, span: Span) -> Option<Vec<u32>> {
        // A word's own start first, which spells it whole.
        let mut starts: Vec<&Start> = self.starts.iter().filter(|s| s.offset as usize == span.start).collect();
        starts.sort_by_key(|s| !s.whole);
        starts.into_iter().find_map(|start| {
            let mut symbols = Vec::new();
            loop {
                let depth = symbols.len() as u32;
                match self.end(start, depth) {
                    Some(end) if end as usize == span.end => return Some(symbols),
                    Some(end) if end as usize > span.end => return None,
                    _ => symbols.push(self.symbol(start, depth)?),
                }
            }
        })
    }

    /// Every token that some content may hold, sorted, with those of `input`: the paper's bag of input tokens.
    pub(crate) fn bag(&self, input: &[u32]) -> Vec<u32> {
        let mut bag = self.symbols.clone();
        bag.extend_from_slice(input);
        sort_from(&mut bag, 0);
        bag
    }

    /// Every pair of tokens that follow each other in some content or in `input`, sorted.
    pub(crate) fn pairs(&self, input: &[u32]) -> Vec<(u32, u32)> {
        let chain = &self.symbols[..self.chain_len as usize];
        let neighbours = chain.windows(2).chain(input.windows(2));
        let mut pairs: Vec<(u32, u32)> = neighbours.map(|w| (w[0], w[1])).collect();
        for start in self.starts.iter().filter(|s| s.head_len() > 0) {
            let symbols: Vec<u32> = (0..=start.head_len()).map_while(|depth| self.symbol(start, depth)).collect();
            pairs.extend(symbols.windows(2).map(|w| (w[0], w[1])));
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

/// Sorts what was appended behind `from` and drops repeats.
fn sort_from(out: &mut Vec<u32>, from: usize) {
    out[from..].sort_unstable();
    if from == 0 {
        out.dedup();
    } else {
        let mut tail = out.split_off(from);
        tail.dedup();
        out.append(&mut tail);
    }
}
