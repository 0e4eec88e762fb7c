//! Corpora: readers, dataset cards, merging, sub-sampling, synthesis.
//!
//! A [`Card`] says what a dataset is; [`load`] makes a [`Corpus`] of it, with a [`ReadReport`] of everything that was
//! repaired or left out on the way. Models are unknown here.

mod add;
mod brat;
mod card;
mod check;
mod conflict;
mod conll;
mod convert;
mod corpus;
mod dialogue;
mod encoded;
mod error;
mod fetch;
mod gazetteer;
mod jsonl;
mod merge;
mod naming;
mod overlap;
mod reader;
mod report;
mod scheme;
mod sheet;
mod sniff;
mod source;
mod stream;
mod subset;
pub mod synth;
mod table;
mod tokens;

/// The cards and grammars of `data/`, as the build found them.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

pub use add::{Draft, add, card_toml, draft};
pub use brat::Brat;
pub use card::{CARD_FORMAT, Card, DataFile, Split, Splits, cards};
pub use check::{Check, CheckOptions, Finding, Lengths, Repeated, Stats, Writing, check, overlap_matrix, repeated};
pub use conflict::{Conflict, conflict_sheet, conflicts};
pub use conll::{Conll, Separator, write_conll};
pub use convert::{Format, Written, convert};
pub use corpus::{Corpus, fingerprint, load};
pub use dialogue::{PolyAi, Sgd, SgdTypes, Snips};
pub use encoded::encode_all;
pub use error::{Error, Result};
pub use fetch::{Fetched, Progress, fetch};
pub use gazetteer::{Gazetteer, GazetteerScore};
pub use jsonl::{JsonLines, Offsets};
pub use merge::{Merge, MergeReport, Removed, TypeNames, decontaminate, merge, unification};
pub use naming::natural_words;
pub use overlap::{Pair, Sameness, overlap};
pub use reader::{Reader, read_file};
pub use report::{Counts, FileReport, ReadReport, Repair, Repaired};
pub use scheme::Scheme;
pub use sheet::Sheet;
pub use source::{decode, locate, read_bytes};
pub use stream::stream;
pub use subset::{Subset, Unit, length};
pub use table::{SentenceMark, Table};
pub use tokens::tokenize;
