//! What the authors' public code does at each step, with its defects; see the tests named `authors_code_…`.

use crate::automaton::Automaton;
use crate::grammar::insert;
use crate::state::{Place, Section};

impl Automaton {
    /// Puts the tokens that are not masked into `out`, sorted; returns whether nothing is masked.
    pub(crate) fn authors_allowed(&self, section: Section, last: Option<u32>, out: &mut Vec<u32>) -> bool {
        let grammar = &*self.grammar;
        let [eos, tcs, es] = [grammar.eos, self.closer(0), self.closer(1)];
        match (section, last) {
            // Rule 1: every token of every type, not only the first ones.
            (Section::Type, None) => {
                out.extend(grammar.names.iter().flatten());
                out.push(eos);
                out.sort_unstable();
                out.dedup();
            }
            // Rules 2 and 3: the last token alone decides, by the first type that holds it.
            (Section::Type, Some(last)) => {
                let holder = grammar.names.iter().find_map(|name| Some((name, name.iter().position(|&t| t == last)?)));
                let Some((name, at)) = holder else { return true };
                out.push(name.get(at + 1).copied().unwrap_or(tcs));
            }
            // Rule 4a: any token of the input, also from inside a word.
            (Section::Content, None) => out.extend_from_slice(&self.bag),
            // Rule 4b: two tokens in a row are checked, never the whole content.
            (Section::Content, Some(last)) => {
                let from = self.pairs.partition_point(|&(a, _)| a < last);
                out.extend(self.pairs[from..].iter().take_while(|&&(a, _)| a == last).map(|&(_, b)| b));
                insert(out, es);
            }
        }
        false
    }

    /// Nothing is refused: a masked token's score is low, but it can win.
    pub(crate) fn authors_step(&self, section: Section, token: u32) -> Place {
        if token == self.grammar.eos {
            Place::Done
        } else if token == self.closer(0) {
            Place::Authors { section: Section::Content, last: None }
        } else if token == self.closer(1) {
            Place::Authors { section: Section::Type, last: None }
        } else {
            Place::Authors { section, last: Some(token) }
        }
    }
}
