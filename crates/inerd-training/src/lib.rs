//! Teacher forcing of a language model on prompt–response pairs.
//!
//! [`Example`]s are shuffled by a seeded stream, [`pack`]ed into rows without waste, and [`train`]ed with the loss on
//! the response alone. Two losses: [`Loss::Response`] runs the softmax over the vocabulary, [`Loss::Allowed`] over the
//! tokens that the task allows at each position. Checkpoints resume bit for bit on the CPU. Two techniques made for
//! encoders may join: [`CoRegularization`] trains several copies that learn from each other's agreement, [`PlMarker`] a
//! classifier of candidate spans ([`classify_spans`]) in the same weights.
//!
//! This crate knows nothing of experiments or the store.

pub mod bench;
mod checkpoint;
mod co_regularization;
pub mod doctor;
mod error;
mod example;
mod gradient;
mod loss;
mod objective;
mod optimizer;
mod pl_marker;
mod schedule;
mod settings;
mod train;

pub use co_regularization::{CoRegularization, divergence, perturbed};
pub use error::Error;
pub use example::{Example, Packed, lay_out, pack};
pub use loss::{mean_loss, response_loss};
pub use pl_marker::{Candidate, Labelled, Marked, Markers, PlMarker, classify_spans, span_logits};
pub use schedule::Schedule;
pub use settings::{Loss, Settings};
pub use train::{Flow, Hooks, Step, Trained, train};
