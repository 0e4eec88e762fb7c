//! Text to entities and back: the answer's format, the masking rules, and the automaton that says which tokens may
//! come next.
//!
//! A language model answers a sentence with `Person : Ada Lovelace ; Location : London ;`. A [`Codec`] writes such
//! answers ([`Codec::answer`], the training target), says what may be written ([`Codec::automaton`]) and reads what was
//! written ([`Codec::decode`]). The three agree by construction: an answer is a row of sections, each tokenised by
//! itself, and contents are made of the sentence's own tokens.

mod alignment;
mod audit;
mod authors;
mod automaton;
mod bench;
mod chain;
mod codec;
mod error;
mod format;
mod grammar;
mod inline;
mod limits;
mod parse;
mod parse_inline;
mod records;
mod rules;
mod search;
mod spans;
mod state;
mod tokenizer;
mod trie;
mod vocabulary;
mod words;

pub use alignment::Alignment;
pub use audit::{AuditWalk, MaskAudit, RuleAudit};
pub use automaton::{Allowed, Automaton};
pub use bench::{DecodeBench, DecodeFigures, bench_decode};
pub use codec::{Codec, Parsed};
pub use error::{Error, Forbidden};
pub use format::{EntityOrder, FormatSettings, Layout, Occurrence, TypeNames};
pub use rules::{Granularity, InvalidRules, PRESETS, Rule, RuleDoc, RuleSettings, Rules};
pub use search::{Continuation, Hypothesis, Search, n_best_confidence};
pub use state::State;
pub use tokenizer::Tokenizer;
