//! What may be written next.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::grammar::Grammar;
use crate::limits::{Limits, Text};
use crate::rules::{Rule, Rules};
use crate::spans::SpanIndex;
use crate::state::{Place, Reading, Section, State};
use crate::{Forbidden, Layout};

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

    /// How many of a vocabulary's tokens are allowed.
    pub fn count(&self, vocabulary: usize) -> usize {
        match self {
            Self::Any => vocabulary,
            Self::Only(tokens) => tokens.len(),
            Self::Except(tokens) => vocabulary.saturating_sub(tokens.len()),
        }
    }
}

/// The rules for one sentence. Immutable: many [`State`]s walk through one automaton.
#[derive(Debug, Clone)]
pub struct Automaton {
    pub(crate) grammar: Arc<Grammar>,
    pub(crate) rules: Rules,
    pub(crate) spans: Arc<SpanIndex>,
    /// For the rules that look back.
    pub(crate) text: Option<Arc<Text>>,
    /// Under `copy` without `span`: the input's tokens, sorted.
    pub(crate) bag: Vec<u32>,
    /// Under `bigram` without `span`: the pairs of neighbours, sorted.
    pub(crate) pairs: Vec<(u32, u32)>,
    /// What may be written first, where the first slot is the content.
    pub(crate) contents_or_end: Vec<u32>,
}

/// The score that the authors' code gives to a masked token.
const AUTHORS_MASK: f32 = -1000.0;

impl Automaton {
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn start(&self) -> State {
        let place = if self.rules.is_free() {
            Place::Free
        } else if self.grammar.layout == Layout::Inline {
            Place::Sentence { at: 0 }
        } else if self.rules.authors_code {
            Place::Authors { section: Section::Type, last: None }
        } else {
            Place::Start
        };
        State { readings: smallvec![Reading::new(place)] }
    }

    /// Whether end-of-sequence was written.
    pub fn is_final(&self, state: &State) -> bool {
        state.readings.iter().any(|reading| reading.place == Place::Done)
    }

    /// The tokens allowed next. `scratch` is overwritten; it lends its memory to the answer.
    pub fn allowed<'a>(&'a self, state: &State, scratch: &'a mut Vec<u32>) -> Allowed<'a> {
        scratch.clear();
        if let [reading] = state.readings.as_slice() {
            if reading.place == Place::Free {
                return Allowed::Any;
            }
            if let Some(tokens) = self.ready(reading) {
                return Allowed::Only(tokens);
            }
        }
        // The union over all readings; where one of them excludes instead of naming, `scratch` holds exclusions.
        let mut excludes = false;
        let mut one = Vec::new();
        for (i, reading) in state.readings.iter().enumerate() {
            if i == 0 {
                excludes = self.allowed_in(reading, scratch);
                continue;
            }
            one.clear();
            let other_excludes = self.allowed_in(reading, &mut one);
            unite(scratch, &mut excludes, &mut one, other_excludes);
        }
        match (excludes, scratch.is_empty()) {
            (true, true) => Allowed::Any,
            (true, false) => Allowed::Except(scratch),
            (false, _) => Allowed::Only(scratch),
        }
    }

    /// Puts what one reading allows into the empty list `out`, sorted; returns whether these are exclusions.
    fn allowed_in(&self, reading: &Reading, out: &mut Vec<u32>) -> bool {
        match reading.place {
            Place::Free => true,
            Place::Done => false,
            Place::Sentence { .. } | Place::Head { .. } => {
                self.inline_allowed(reading, out);
                false
            }
            Place::Authors { section, last } => self.authors_allowed(section, last, out),
            _ => self.record_allowed(reading, out),
        }
    }

    /// Takes one token. A forbidden one leaves the state as it was.
    pub fn advance(&self, state: &mut State, token: u32) -> Result<(), Forbidden> {
        let mut next: SmallVec<[Reading; 1]> = SmallVec::new();
        for reading in &state.readings {
            let mut go = |reading: Reading| {
                if !next.contains(&reading) {
                    next.push(reading);
                }
            };
            match reading.place {
                Place::Done => {}
                Place::Free if token == self.grammar.eos => go(Reading::new(Place::Done)),
                Place::Free => go(Reading::new(Place::Free)),
                Place::Sentence { .. } | Place::Head { .. } => self.inline_step(reading, token, &mut go),
                Place::Authors { section, .. } => go(reading.at(self.authors_step(section, token))),
                _ => self.record_step(reading, token, &mut go),
            }
        }
        if next.is_empty() {
            return Err(Forbidden { token });
        }
        state.readings = next;
        Ok(())
    }

    /// Appends the run of tokens that have no alternative from here on, end-of-sequence included. `scratch` is
    /// overwritten.
    pub fn forced(&self, state: &State, scratch: &mut Vec<u32>, out: &mut Vec<u32>) {
        // Most places have a choice; find out before the state is cloned.
        if self.rules.authors_code || !matches!(self.allowed(state, scratch), Allowed::Only(&[_])) {
            return;
        }
        let mut state = state.clone();
        while let Allowed::Only(&[token]) = self.allowed(&state, scratch) {
            if self.advance(&mut state, token).is_err() {
                return;
            }
            out.push(token);
        }
    }

    /// Whether the rules are skipped altogether when this token has the highest free score: the authors' code does so
    /// where it decodes to nothing or to one space.
    pub fn is_bypassed(&self, free_argmax: u32, token_bytes: &[u8]) -> bool {
        self.rules.authors_code && free_argmax != self.grammar.eos && matches!(token_bytes, b"" | b" ")
    }

    /// What a forbidden token's score becomes.
    pub fn masked_score(&self) -> f32 {
        if self.rules.authors_code { AUTHORS_MASK } else { f32::NEG_INFINITY }
    }

    /// Masks the scores of the whole vocabulary. (Where scores can be computed for some tokens only, ask
    /// [`Automaton::allowed`] first; `paper-code` needs them all.)
    pub fn mask(&self, state: &State, scores: &mut [f32]) {
        let blank = |token| self.grammar.blanks.binary_search(&token).is_ok();
        if self.rules.authors_code && argmax(scores).is_some_and(blank) {
            return;
        }
        let masked = self.masked_score();
        let mut scratch = Vec::new();
        match self.allowed(state, &mut scratch) {
            Allowed::Any => {}
            Allowed::Only(tokens) => {
                let kept: Vec<f32> =
                    tokens.iter().map(|&t| scores.get(t as usize).copied().unwrap_or(masked)).collect();
                scores.fill(masked);
                for (&token, score) in tokens.iter().zip(kept) {
                    if let Some(slot) = scores.get_mut(token as usize) {
                        *slot = score;
                    }
                }
            }
            Allowed::Except(tokens) => {
                for &token in tokens {
                    if let Some(slot) = scores.get_mut(token as usize) {
                        *slot = masked;
                    }
                }
            }
        }
    }

    /// The limits on the record of a reading, where a rule looks back.
    pub(crate) fn limits<'a>(&'a self, reading: &'a Reading, kind: Option<u32>) -> Option<Limits<'a>> {
        let text = self.text.as_deref()?;
        Some(Limits { rules: &self.rules, text, taken: reading.taken(), kind, kinds: self.grammar.names.len() })
    }

    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.rules.contains(rule)
    }
}

/// The first token with the highest score.
pub(crate) fn argmax(scores: &[f32]) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (token, &score) in scores.iter().enumerate() {
        if best.is_none_or(|(_, high)| score > high) {
            best = Some((token, score));
        }
    }
    best.map(|(token, _)| token as u32)
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
