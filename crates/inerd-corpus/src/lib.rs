//! Corpora: readers, dataset cards, merging, sub-sampling, synthesis.
//!
//! A [`Card`] says what a dataset is; [`load`] makes a [`Corpus`] of it, with a [`ReadReport`] of everything that was
//! repaired or left out on the way. Models are unknown here.

mod card;
mod conll;
mod corpus;
mod error;
mod gazetteer;
mod naming;
mod reader;
mod report;
mod scheme;
mod source;
mod stream;
pub mod synth;
mod tokens;

/// The cards and grammars of `data/`, as the build found them.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

pub use card::{CARD_FORMAT, Card, DataFile, Split, Splits, cards};
pub use conll::{Conll, Separator, write_conll};
pub use corpus::{Corpus, fingerprint, load};
pub use error::{Error, Result};
pub use gazetteer::{Gazetteer, GazetteerScore};
pub use naming::natural_words;
pub use reader::{Reader, read_file};
pub use report::{Counts, FileReport, ReadReport, Repair, Repaired};
pub use scheme::Scheme;
pub use source::{decode, locate, read_bytes};
pub use stream::stream;
pub use tokens::tokenize;
