//! The words that all rooms share: [`Span`], [`Entity`], [`Sentence`], [`Schema`] and what a system answered,
//! [`Generation`].
//!
//! In memory every offset is a **byte** offset into the sentence's UTF-8 text, end exclusive, because that is what
//! slicing needs. On disk (JSON lines) every offset is a **character** offset (Unicode scalar values), end exclusive,
//! because that is what other tools write. The conversion happens here and nowhere else.

mod generation;
mod json;
mod schema;
mod sentence;
mod span;

pub use generation::{Generation, Prediction};
pub use json::{CharOffsets, InvalidRecord, read_json_lines, read_numbered_json_lines, write_json_lines};
pub use schema::Schema;
pub use sentence::{Entity, InvalidSentence, Sentence};
pub use span::Span;
