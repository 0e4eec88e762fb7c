//! Text to entities and back: the answer's format, the masking rules, and the automaton that says which tokens may
//! come next.
//!
//! A language model answers a sentence with `Person : Ada Lovelace ; Location : London ;`. A [`Codec`] writes such
//! answers ([`Codec::answer`], the training target), says what may be written ([`Codec::automaton`]) and reads what was
//! written ([`Codec::decode`]). The three agree by construction: an answer is a row of sections, each tokenised by
//! itself, and contents are made of the sentence's own tokens.

mod automaton;
mod codec;
mod error;
mod format;
mod grammar;
mod parse;
mod rules;
mod spans;
mod tokenizer;
mod trie;
mod words;

pub use automaton::{Allowed, Automaton, State};
pub use codec::{Codec, Parsed};
pub use error::{Error, Forbidden};
pub use format::{FormatSettings, Layout};
pub use rules::{Granularity, InvalidRules, PRESETS, Rule, RuleDoc, RuleSettings, Rules};
pub use tokenizer::Tokenizer;
