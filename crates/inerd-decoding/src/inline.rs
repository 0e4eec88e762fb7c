//! The automaton of the inline layout: the sentence again, with marks around whole words.
//!
//! That the sentence is copied belongs to the layout, so every set of rules but the empty one enforces it. At each word
//! an entity may begin (an opening mark, a type, a separator), behind each word one may end.

use crate::automaton::Automaton;
use crate::grammar::insert;
use crate::rules::Rule;
use crate::state::{Open, Place, Reading};
use crate::trie::TypeTrie;

impl Automaton {
    pub(crate) fn inline_allowed(&self, reading: &Reading, out: &mut Vec<u32>) {
        match reading.place {
            Place::Sentence { at } => {
                self.spans.tokens_at(at, |token, to| {
                    if self.fits(reading, to) {
                        out.push(token);
                    }
                });
                out.sort_unstable();
                out.dedup();
                if self.may_open(reading, at) {
                    insert(out, self.mark(0));
                }
                if self.may_close(reading, at) {
                    insert(out, self.mark(2));
                }
                if at == self.spans.chain_len() && reading.open.as_slice().is_empty() {
                    insert(out, self.grammar.eos);
                }
            }
            Place::Head { start, depth } => {
                self.spans.tokens_from(start, depth, |token, depth| {
                    if self.fits_behind(reading, start, depth) {
                        out.push(token);
                    }
                });
                out.sort_unstable();
                out.dedup();
                if depth == 0 && self.may_nest(reading, reading.content.0) {
                    insert(out, self.mark(0));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn inline_step(&self, reading: &Reading, token: u32, go: &mut impl FnMut(Reading)) {
        match reading.place {
            Place::Sentence { at } => {
                let mut reached = None;
                self.spans.tokens_at(at, |candidate, to| {
                    if candidate == token {
                        reached = Some(to);
                    }
                });
                if let Some(to) = reached.filter(|&to| self.fits(reading, to)) {
                    go(reading.at(Place::Sentence { at: to }));
                }
                if token == self.mark(0) && self.may_open(reading, at) {
                    self.open(reading, at, go);
                }
                if token == self.mark(2) && self.may_close(reading, at) {
                    let mut next = reading.at(self.inline_literal(2, 1, at));
                    next.open.pop();
                    next.count += u32::from(self.has(Rule::MaxEntities));
                    next.content = (at, at);
                    go(next);
                }
                if token == self.grammar.eos && at == self.spans.chain_len() && reading.open.as_slice().is_empty() {
                    go(Reading::new(Place::Done));
                }
            }
            Place::Head { start, depth } => {
                let mut reached = None;
                self.spans.tokens_from(start, depth, |candidate, depth| {
                    if candidate == token {
                        reached = Some(depth);
                    }
                });
                if let Some(depth) = reached.filter(|&depth| self.fits_behind(reading, start, depth)) {
                    let place = match self.spans.chain_behind(start, depth) {
                        // Behind the space alone, where the word has none of its own, nothing but the word may follow.
                        Ok(at) if at > reading.content.0 => Place::Sentence { at },
                        _ => Place::Head { start, depth },
                    };
                    go(reading.at(place));
                }
                if depth == 0 && token == self.mark(0) && self.may_nest(reading, reading.content.0) {
                    self.open(reading, reading.content.0, go);
                }
            }
            _ => {}
        }
    }

    /// The place behind `done` tokens of a mark; `at` is where the sentence goes on behind the entity's end.
    pub(crate) fn inline_literal(&self, which: usize, done: usize, at: u32) -> Place {
        if done < self.grammar.literals[which].len() {
            return Place::Literal { which: which as u8, done: done as u8 };
        }
        match which {
            0 if self.has(Rule::Types) => Place::Type { node: TypeTrie::ROOT },
            0 => Place::LooseType { begun: false },
            // Behind the separator, the word that the opening mark stood before.
            1 => self.spans.word_at(at).map_or(Place::Sentence { at }, |start| Place::Head { start, depth: 0 }),
            _ => Place::Sentence { at },
        }
    }

    fn mark(&self, which: usize) -> u32 {
        self.grammar.literals[which].first().copied().unwrap_or(self.grammar.eos)
    }

    fn open(&self, reading: &Reading, at: u32, go: &mut impl FnMut(Reading)) {
        let mut next = reading.at(self.inline_literal(0, 1, at));
        // Remembered until the type is written.
        next.content = (at, at);
        if next.open.push(at).is_ok() {
            go(next);
        }
    }

    fn may_open(&self, reading: &Reading, at: u32) -> bool {
        self.spans.word_at(at).is_some() && self.may_nest(reading, at)
    }

    /// Whether an entity may begin at a word, with room for that word in those that are open.
    fn may_nest(&self, reading: &Reading, at: u32) -> bool {
        let open = reading.open.as_slice().len();
        let deepest = if self.has(Rule::NoOverlap) { 1 } else { Open::DEEPEST };
        let few = !self.has(Rule::MaxEntities) || reading.count as usize + open < self.rules.max_entities as usize;
        let types = !self.has(Rule::Types) || !self.grammar.names.is_empty();
        open < deepest && few && types && self.fits(reading, at + 1)
    }

    fn may_close(&self, reading: &Reading, at: u32) -> bool {
        reading.open.as_slice().last().is_some_and(|&start| at > start) && self.spans.word_ends(at)
    }

    /// Whether the entities that are open may reach this place.
    fn fits(&self, reading: &Reading, to: u32) -> bool {
        let Some(&outermost) = reading.open.as_slice().first().filter(|_| self.has(Rule::MaxSpan)) else { return true };
        self.spans.words_before(to) - self.spans.words_before(outermost) <= self.rules.max_span
    }

    fn fits_behind(&self, reading: &Reading, start: u32, depth: u32) -> bool {
        self.spans.chain_behind(start, depth).map_or(true, |to| self.fits(reading, to))
    }
}
