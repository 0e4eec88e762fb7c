//! What may be written next.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::grammar::{Grammar, insert};
use crate::spans::{Range, SpanIndex};
use crate::trie::TypeTrie;
use crate::{Forbidden, Rule, Rules};

/// The tokens that the rules leave possible. All lists are sorted and hold no token twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed<'a> {
    /// Every token.
    Any,
    /// These and no others. Empty only after end-of-sequence.
    Only(&'a [u32]),
    /// All but these (rules that fix the structure but leave the words free).
    Except(&'a [u32]),
}

impl Allowed<'_> {
    pub fn contains(&self, token: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Only(tokens) => tokens.binary_search(&token).is_ok(),
            Self::Except(tokens) => tokens.binary_search(&token).is_err(),
        }
    }
}

/// The rules for one sentence. Immutable: many [`State`]s walk through one automaton.
#[derive(Debug, Clone)]
pub struct Automaton {
    grammar: Arc<Grammar>,
    rules: Rules,
    spans: Arc<SpanIndex>,
    /// Under `copy` without `span`: the input's tokens, sorted.
    bag: Arc<[u32]>,
    /// Under `bigram` without `span`: the pairs of neighbours, sorted.
    pairs: Arc<[(u32, u32)]>,
    /// What may be written first, where the first slot is the content.
    contents_or_end: Arc<[u32]>,
}

/// How far an answer has come. Nearly always one place; several where the text itself holds a separator, so that what
/// was written can be read in more than one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    places: SmallVec<[Place; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing is forbidden and nothing tracked.
    Free,
    /// Before a record or the end.
    Start,
    /// Within a literal, of which `done` tokens stand.
    Literal {
        which: u8,
        done: u8,
    },
    /// Within the name of a type.
    Type {
        node: u32,
    },
    /// Within a type, when names are not checked.
    LooseType {
        begun: bool,
    },
    /// Within a content that copies a span.
    Content(Range),
    /// Within a content that is checked by its last token at most.
    LooseContent {
        last: Option<u32>,
    },
    Done,
}

impl Automaton {
    pub(crate) fn new(grammar: Arc<Grammar>, rules: Rules, spans: Arc<SpanIndex>) -> Self {
        let spanned = rules.contains(Rule::Span);
        let wants_pairs = !spanned && rules.contains(Rule::Bigram);
        let wants_bag = !spanned && (wants_pairs || rules.contains(Rule::Copy));
        let bag = if wants_bag { spans.bag() } else { Vec::new() };
        let pairs = if wants_pairs { spans.pairs() } else { Vec::new() };
        let mut contents_or_end = Vec::new();
        if !grammar.type_first {
            contents_or_end.extend_from_slice(if spanned { spans.first() } else { &bag });
            insert(&mut contents_or_end, grammar.eos);
        }
        Self { grammar, rules, spans, bag: bag.into(), pairs: pairs.into(), contents_or_end: contents_or_end.into() }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn start(&self) -> State {
        State { places: smallvec![if self.rules.is_free() { Place::Free } else { Place::Start }] }
    }

    /// Whether end-of-sequence was written.
    pub fn is_final(&self, state: &State) -> bool {
        state.places.contains(&Place::Done)
    }

    /// The tokens allowed next. `scratch` is overwritten; it lends its memory to the answer.
    pub fn allowed<'a>(&'a self, state: &State, scratch: &'a mut Vec<u32>) -> Allowed<'a> {
        scratch.clear();
        if let [place] = state.places.as_slice() {
            if *place == Place::Free {
                return Allowed::Any;
            }
            if self.rules.contains(Rule::Structure)
                && let Some(tokens) = self.shared(*place)
            {
                return Allowed::Only(tokens);
            }
        }
        // The union over all places; once one of them excludes instead of naming tokens, `scratch` holds exclusions.
        let mut excludes = false;
        let mut one = Vec::new();
        for (i, &place) in state.places.iter().enumerate() {
            if i == 0 {
                excludes = self.allowed_at(place, scratch);
                continue;
            }
            one.clear();
            let other_excludes = self.allowed_at(place, &mut one);
            unite(scratch, &mut excludes, &mut one, other_excludes);
        }
        if excludes { Allowed::Except(scratch) } else { Allowed::Only(scratch) }
    }

    /// The allowed tokens at a place, where they stand ready.
    fn shared(&self, place: Place) -> Option<&[u32]> {
        let grammar = &*self.grammar;
        match place {
            Place::Start if !grammar.literals[0].is_empty() || !self.has_contents() => None,
            Place::Start if !grammar.type_first => self.names_contents().then_some(&self.contents_or_end),
            Place::Start => self.rules.contains(Rule::Types).then_some(&grammar.types_or_end),
            Place::Type { node } => Some(grammar.trie.allowed(node)),
            Place::Content(range) if range.depth == 0 => Some(self.spans.first()),
            Place::Literal { which, done } => {
                let literal = &grammar.literals[which as usize];
                literal.get(done as usize..=done as usize)
            }
            _ => None,
        }
    }

    /// Whether contents are a list of tokens at all.
    fn names_contents(&self) -> bool {
        self.rules.contains(Rule::Span) || self.rules.contains(Rule::Copy) || self.rules.contains(Rule::Bigram)
    }

    /// Whether any record can be completed.
    fn has_contents(&self) -> bool {
        let types = !self.rules.contains(Rule::Types) || !self.grammar.names.is_empty();
        types && (!self.names_contents() || !self.spans.first().is_empty())
    }

    /// Puts the allowed tokens at one place into the empty list `out`, sorted; returns whether they are exclusions.
    fn allowed_at(&self, place: Place, out: &mut Vec<u32>) -> bool {
        let grammar = &*self.grammar;
        let structure = self.rules.contains(Rule::Structure);
        let mut excludes = false;
        match place {
            Place::Free => excludes = true,
            Place::Done => return false,
            Place::Start => {
                if !self.has_contents() {
                    out.push(grammar.eos);
                } else if let Some(&open) = grammar.literals[0].first() {
                    out.push(open);
                } else {
                    excludes = self.allowed_at(self.slot(0), out);
                }
                if excludes { out.retain(|&t| t != grammar.eos) } else { insert(out, grammar.eos) }
            }
            Place::Literal { which, done } => out.extend(grammar.literals[which as usize].get(done as usize)),
            Place::Type { node } => out.extend_from_slice(grammar.trie.allowed(node)),
            Place::LooseType { begun } => {
                excludes = true;
                self.exclude(grammar.type_slot(), begun, out);
            }
            Place::Content(range) => {
                self.spans.next(range, out);
                if self.spans.may_end(range) {
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
                    if self.rules.contains(Rule::Bigram) {
                        let from = self.pairs.partition_point(|&(a, _)| a < last);
                        out.extend(self.pairs[from..].iter().take_while(|&&(a, _)| a == last).map(|&(_, b)| b));
                    } else {
                        out.extend_from_slice(&self.bag);
                    }
                    insert(out, self.closer(self.content_slot()));
                }
            },
        }
        if !structure {
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

    /// What `structure` takes away from a slot whose words are free.
    fn exclude(&self, slot: usize, begun: bool, out: &mut Vec<u32>) {
        for token in self.controls() {
            if !(begun && token == self.closer(slot)) {
                insert(out, token);
            }
        }
    }

    /// The tokens that give an answer its structure.
    fn controls(&self) -> [u32; 3] {
        [self.grammar.eos, self.closer(0), self.closer(1)]
    }

    /// The token that ends a slot.
    fn closer(&self, slot: usize) -> u32 {
        self.grammar.literals[slot + 1][0]
    }

    fn content_slot(&self) -> usize {
        1 - self.grammar.type_slot()
    }

    /// The place at the beginning of a slot.
    fn slot(&self, slot: usize) -> Place {
        if slot == self.grammar.type_slot() {
            if self.rules.contains(Rule::Types) {
                Place::Type { node: TypeTrie::ROOT }
            } else {
                Place::LooseType { begun: false }
            }
        } else if self.rules.contains(Rule::Span) {
            Place::Content(self.spans.all())
        } else {
            Place::LooseContent { last: None }
        }
    }

    /// The place behind `done` tokens of a literal.
    fn literal(&self, which: usize, done: usize) -> Place {
        if done < self.grammar.literals[which].len() {
            return Place::Literal { which: which as u8, done: done as u8 };
        }
        if which == 2 { Place::Start } else { self.slot(which) }
    }

    /// Takes one token. A forbidden one leaves the state as it was.
    pub fn advance(&self, state: &mut State, token: u32) -> Result<(), Forbidden> {
        let mut next: SmallVec<[Place; 2]> = SmallVec::new();
        for &place in &state.places {
            self.step(place, token, &mut |place| {
                if !next.contains(&place) {
                    next.push(place);
                }
            });
        }
        if next.is_empty() {
            return Err(Forbidden { token });
        }
        state.places = next;
        Ok(())
    }

    /// Gives the places behind `token` to `go`.
    fn step(&self, place: Place, token: u32, go: &mut impl FnMut(Place)) {
        let grammar = &*self.grammar;
        match place {
            Place::Free => go(if token == grammar.eos { Place::Done } else { Place::Free }),
            Place::Done => return,
            Place::Start => {
                if token == grammar.eos {
                    go(Place::Done);
                } else if !self.has_contents() {
                } else if grammar.literals[0].is_empty() {
                    self.step(self.slot(0), token, go);
                } else if grammar.literals[0][0] == token {
                    go(self.literal(0, 1));
                }
            }
            Place::Literal { which, done } => {
                let (which, done) = (which as usize, done as usize);
                if grammar.literals[which].get(done) == Some(&token) {
                    go(self.literal(which, done + 1));
                }
            }
            Place::Type { node } => {
                if let Some(node) = grammar.trie.child(node, token) {
                    go(Place::Type { node });
                }
                let slot = grammar.type_slot();
                if token == self.closer(slot) && grammar.trie.ends(node).is_some() {
                    go(self.literal(slot + 1, 1));
                }
            }
            Place::LooseType { begun } => {
                let slot = grammar.type_slot();
                if begun && token == self.closer(slot) {
                    go(self.literal(slot + 1, 1));
                } else if !self.controls().contains(&token) {
                    go(Place::LooseType { begun: true });
                }
            }
            Place::Content(range) => {
                let slot = self.content_slot();
                let next = self.spans.narrow(range, token);
                if !next.is_empty() {
                    go(Place::Content(next));
                }
                if token == self.closer(slot) && self.spans.may_end(range) {
                    go(self.literal(slot + 1, 1));
                }
            }
            Place::LooseContent { last } => {
                let slot = self.content_slot();
                let closes = token == self.closer(slot) && last.is_some();
                if closes {
                    go(self.literal(slot + 1, 1));
                }
                let continues = match last {
                    _ if !self.names_contents() => !closes && !self.controls().contains(&token),
                    Some(last) if self.rules.contains(Rule::Bigram) => self.pairs.binary_search(&(last, token)).is_ok(),
                    _ => self.bag.binary_search(&token).is_ok(),
                };
                if continues {
                    go(Place::LooseContent { last: Some(token) });
                }
            }
        }
        if !self.rules.contains(Rule::Structure) && place != Place::Free {
            for slot in 0..2 {
                if token == self.closer(slot) {
                    go(self.literal(slot + 1, 1));
                }
            }
            if token == grammar.eos {
                go(Place::Done);
            }
        }
    }

    /// Appends the run of tokens that have no alternative from here on, end-of-sequence included.
    pub fn forced(&self, state: &State, out: &mut Vec<u32>) {
        let mut scratch = Vec::new();
        let mut state = state.clone();
        while let Allowed::Only(&[token]) = self.allowed(&state, &mut scratch) {
            if self.advance(&mut state, token).is_err() {
                return;
            }
            out.push(token);
        }
    }
}

/// `left` becomes the union of both; either may hold exclusions instead of members.
fn unite(left: &mut Vec<u32>, left_excludes: &mut bool, right: &mut Vec<u32>, right_excludes: bool) {
    match (*left_excludes, right_excludes) {
        (false, false) => {
            left.extend_from_slice(right);
            left.sort_unstable();
            left.dedup();
        }
        (true, true) => left.retain(|t| right.binary_search(t).is_ok()),
        (true, false) => left.retain(|t| right.binary_search(t).is_err()),
        (false, true) => {
            right.retain(|t| left.binary_search(t).is_err());
            std::mem::swap(left, right);
            *left_excludes = true;
        }
    }
}
