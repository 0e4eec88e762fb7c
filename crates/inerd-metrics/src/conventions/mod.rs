//! How each convention compares the entities of one sentence. Each function reports true positives, false positives
//! and false negatives to a [`crate::tally::Tally`].

mod nervaluate;
mod spans;
mod surfaces;
mod tokens;

pub(crate) use nervaluate::{Located, Schema as NervaluateSchema, judge, nervaluate};
pub(crate) use spans::spans;
pub use surfaces::normalise;
pub(crate) use surfaces::{authors, gollie, padellm, universal_ner};
pub(crate) use tokens::{gner, tagged};
