//! The automaton of the layouts that list records: paper, content-first, JSON.

use crate::Layout;
use crate::automaton::Automaton;
use crate::grammar::insert;
use crate::limits::Taken;
use crate::rules::Rule;
use crate::state::{Place, Reading};
use crate::trie::TypeTrie;

impl Automaton {
    /// The allowed tokens of a reading, where they stand ready as a list.
    pub(crate) fn ready(&self, reading: &Reading) -> Option<&[u32]> {
        if !self.has(Rule::Structure) || self.text.is_some() {
            return None;
        }
        let grammar = &*self.grammar;
        match reading.place {
            Place::Start => {
                if !grammar.literals[0].is_empty() || !self.may_begin(reading) {
                    None
                } else if grammar.type_first {
                    self.has(Rule::Types).then_some(&grammar.types_or_end)
                } else {
                    self.names_contents().then_some(&self.contents_or_end)
                }
            }
            Place::Type { node } => Some(grammar.trie.allowed(node)),
            Place::Content(range) if range.depth == 0 => Some(self.spans.first()),
            Place::Literal { which, done } => grammar.literals[which as usize].get(done as usize..=done as usize),
            _ => None,
        }
    }

    /// Whether contents are a list of tokens at all.
    pub(crate) fn names_contents(&self) -> bool {
        self.has(Rule::Span) || self.has(Rule::Copy) || self.has(Rule::Bigram)
    }

    /// Whether another record can be begun and completed.
    fn may_begin(&self, reading: &Reading) -> bool {
        let types = !self.has(Rule::Types) || !self.grammar.names.is_empty();
        let contents = !self.names_contents() || !self.spans.first().is_empty();
        let few = !self.has(Rule::MaxEntities) || reading.count < self.rules.max_entities;
        let left =
            || self.limits(reading, None).is_none_or(|limits| self.spans.can_complete(self.spans.all(), &limits));
        types && contents && few && left()
    }

    /// See [`Automaton::allowed`]; returns whether `out` holds exclusions.
    pub(crate) fn record_allowed(&self, reading: &Reading, out: &mut Vec<u32>) -> bool {
        let grammar = &*self.grammar;
        let mut excludes = false;
        match reading.place {
            Place::Start => {
                if !self.may_begin(reading) {
                    out.push(grammar.eos);
                } else if let Some(&open) = grammar.literals[0].first() {
                    out.push(open);
                } else {
                    excludes = self.record_allowed(&reading.at(self.slot(0)), out);
                }
                if excludes {
                    out.retain(|&t| t != grammar.eos);
                } else {
                    insert(out, grammar.eos);
                }
            }
            Place::Literal { which, done } => out.extend(grammar.literals[which as usize].get(done as usize)),
            Place::Type { node } => self.types_allowed(node, reading, out),
            Place::LooseType { begun } => {
                excludes = true;
                self.exclude(grammar.type_slot(), begun, out);
            }
            Place::Content(range) => {
                let limits = self.limits(reading, reading.kind);
                self.spans.next(range, limits.as_ref(), out);
                let ends = if limits.is_some() {
                    self.spans.ending(range, limits.as_ref()).is_some()
                } else {
                    self.spans.may_end(range)
                };
                if ends {
                    insert(out, self.closer(self.content_slot()));
                }
            }
            Place::LooseContent { last } => match last {
                _ if !self.names_contents() => {
                    excludes = true;
                    self.exclude(self.content_slot(), last.is_some(), out);
                }
                None => out.extend_from_slice(&self.bag),
                Some(last) => {
                    if self.has(Rule::Bigram) {
                        let from = self.pairs.partition_point(|&(a, _)| a < last);
                        out.extend(self.pairs[from..].iter().take_while(|&&(a, _)| a == last).map(|&(_, b)| b));
                    } else {
                        out.extend_from_slice(&self.bag);
                    }
                    insert(out, self.closer(self.content_slot()));
                }
            },
            _ => {}
        }
        if !self.has(Rule::Structure) {
            let controls = self.controls();
            if excludes {
                out.retain(|t| !controls.contains(t));
            } else {
                for token in controls {
                    insert(out, token);
                }
            }
        }
        excludes
    }

    /// What continues the name of a type that still has something to say.
    pub(crate) fn types_allowed(&self, node: u32, reading: &Reading, out: &mut Vec<u32>) {
        let trie = &self.grammar.trie;
        let dead = self.dead_types(reading);
        if dead.is_empty() {
            out.extend_from_slice(trie.allowed(node));
            return;
        }
        let closer = self.closer(self.grammar.type_slot());
        out.extend(trie.allowed(node).iter().copied().filter(|&token| {
            let continues =
                trie.child(node, token).is_some_and(|child| trie.types(child).iter().any(|t| !dead.contains(t)));
            continues || (token == closer && trie.ends(node).is_some_and(|kind| !dead.contains(&kind)))
        }));
    }

    /// The types for which `no-repeat` leaves no content.
    fn dead_types(&self, reading: &Reading) -> Vec<u32> {
        if !self.has(Rule::NoRepeat) || reading.taken().is_empty() || self.grammar.layout == Layout::Inline {
            return Vec::new();
        }
        let mut kinds: Vec<u32> = reading.taken().iter().map(|t| t.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.retain(|&kind| {
            self.limits(reading, Some(kind)).is_some_and(|limits| {
                if self.grammar.type_first {
                    !self.spans.can_complete(self.spans.all(), &limits)
                } else {
                    limits.used_up(reading.content.0, reading.content.1)
                }
            })
        });
        kinds
    }

    /// What `structure` takes away from a slot whose words are free.
    fn exclude(&self, slot: usize, begun: bool, out: &mut Vec<u32>) {
        for token in self.controls() {
            if self.is_reserved(token) && !(begun && token == self.closer(slot)) {
                insert(out, token);
            }
        }
    }

    /// Whether free words can't hold this token: end-of-sequence, or a separator of a single token. (Of a longer one,
    /// the first token may be a mere space.)
    fn is_reserved(&self, token: u32) -> bool {
        token == self.grammar.eos || self.grammar.literals[1..].iter().any(|literal| literal[..] == [token])
    }

    /// The tokens that give an answer its structure.
    pub(crate) fn controls(&self) -> [u32; 3] {
        [self.grammar.eos, self.closer(0), self.closer(1)]
    }

    /// The token that ends a slot.
    pub(crate) fn closer(&self, slot: usize) -> u32 {
        self.grammar.literals[slot + 1].first().copied().unwrap_or(self.grammar.eos)
    }

    fn content_slot(&self) -> usize {
        1 - self.grammar.type_slot()
    }

    /// The place at the beginning of a slot.
    pub(crate) fn slot(&self, slot: usize) -> Place {
        if slot == self.grammar.type_slot() {
            if self.has(Rule::Types) { Place::Type { node: TypeTrie::ROOT } } else { Place::LooseType { begun: false } }
        } else if self.has(Rule::Span) {
            Place::Content(self.spans.all())
        } else {
            Place::LooseContent { last: None }
        }
    }

    /// The place behind `done` tokens of a literal.
    fn literal(&self, reading: &Reading, which: usize, done: usize) -> Place {
        if self.grammar.layout == Layout::Inline {
            return self.inline_literal(which, done, reading.content.0);
        }
        if done < self.grammar.literals[which].len() {
            return Place::Literal { which: which as u8, done: done as u8 };
        }
        if which == 2 { Place::Start } else { self.slot(which) }
    }

    /// Gives the readings behind `token` to `go`.
    pub(crate) fn record_step(&self, reading: &Reading, token: u32, go: &mut impl FnMut(Reading)) {
        let grammar = &*self.grammar;
        match reading.place {
            Place::Start => {
                if token == grammar.eos {
                    go(Reading::new(Place::Done));
                } else if self.may_begin(reading) {
                    match grammar.literals[0].first() {
                        Some(&open) if open == token => go(reading.at(self.literal(reading, 0, 1))),
                        Some(_) => {}
                        None => self.slot_step(&reading.at(self.slot(0)), token, go),
                    }
                }
            }
            Place::Literal { which, done } => {
                let (which, done) = (which as usize, done as usize);
                if grammar.literals[which].get(done) == Some(&token) {
                    go(reading.at(self.literal(reading, which, done + 1)));
                }
            }
            _ => self.slot_step(reading, token, go),
        }
        if !self.has(Rule::Structure) {
            for slot in 0..2 {
                if token == self.closer(slot) {
                    go(reading.at(self.literal(reading, slot + 1, 1)));
                }
            }
            if token == grammar.eos {
                go(Reading::new(Place::Done));
            }
        }
    }

    /// The same within a type or a content.
    fn slot_step(&self, reading: &Reading, token: u32, go: &mut impl FnMut(Reading)) {
        let grammar = &*self.grammar;
        match reading.place {
            Place::Type { node } => {
                let dead = self.dead_types(reading);
                if let Some(node) = grammar.trie.child(node, token)
                    && (dead.is_empty() || grammar.trie.types(node).iter().any(|t| !dead.contains(t)))
                {
                    go(reading.at(Place::Type { node }));
                }
                let slot = grammar.type_slot();
                if token == self.closer(slot)
                    && let Some(kind) = grammar.trie.ends(node).filter(|kind| !dead.contains(kind))
                {
                    let mut next = reading.at(self.literal(reading, slot + 1, 1));
                    next.kind = Some(kind);
                    if !grammar.type_first {
                        self.complete(&mut next, reading.content);
                    }
                    go(next);
                }
            }
            Place::LooseType { begun } => {
                let slot = grammar.type_slot();
                if begun && token == self.closer(slot) {
                    let mut next = reading.at(self.literal(reading, slot + 1, 1));
                    if !grammar.type_first {
                        self.complete(&mut next, reading.content);
                    }
                    go(next);
                }
                if !self.is_reserved(token) {
                    go(reading.at(Place::LooseType { begun: true }));
                }
            }
            Place::Content(range) => {
                let slot = self.content_slot();
                let limits = self.limits(reading, reading.kind);
                let next = self.spans.narrow(range, token);
                if !next.is_empty() && limits.is_none_or(|limits| self.spans.can_complete(next, &limits)) {
                    go(reading.at(Place::Content(next)));
                }
                if token != self.closer(slot) {
                    return;
                }
                // Which span it is matters to the rules that look back only.
                let span = match &limits {
                    Some(_) => self.spans.ending(range, limits.as_ref()),
                    None => self.spans.may_end(range).then_some((0, 0)),
                };
                if let Some(span) = span {
                    let mut next = reading.at(self.literal(reading, slot + 1, 1));
                    if grammar.type_first {
                        self.complete(&mut next, span);
                    } else {
                        next.content = span;
                    }
                    go(next);
                }
            }
            Place::LooseContent { last } => {
                let slot = self.content_slot();
                let closes = token == self.closer(slot) && last.is_some();
                if closes {
                    let mut next = reading.at(self.literal(reading, slot + 1, 1));
                    if grammar.type_first {
                        self.complete(&mut next, (0, 0));
                    }
                    go(next);
                }
                let continues = match last {
                    _ if !self.names_contents() => !self.is_reserved(token),
                    Some(last) if self.has(Rule::Bigram) => self.pairs.binary_search(&(last, token)).is_ok(),
                    _ => self.bag.binary_search(&token).is_ok(),
                };
                if continues {
                    go(reading.at(Place::LooseContent { last: Some(token) }));
                }
            }
            _ => {}
        }
    }

    /// Books a complete record.
    fn complete(&self, reading: &mut Reading, (start, end): (u32, u32)) {
        reading.count += u32::from(self.has(Rule::MaxEntities));
        let looks_back = [Rule::Ordered, Rule::NoOverlap, Rule::NoRepeat].into_iter().any(|rule| self.has(rule));
        if looks_back && self.text.is_some() {
            reading.take(Taken { kind: reading.kind.unwrap_or(u32::MAX), start, end });
        }
        reading.kind = None;
        reading.content = (0, 0);
    }
}
