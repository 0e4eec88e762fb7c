//! Teacher forcing of a language model on prompt–response pairs.
//!
//! [`Example`]s are shuffled by a seeded stream, [`pack`]ed into rows without waste, and [`train`]ed with the loss on
//! the response alone. Two losses: [`Loss::Response`] runs the softmax over the vocabulary, [`Loss::Allowed`] over the
//! tokens that the task allows at each position. Checkpoints resume bit for bit on the CPU.
//!
//! This crate knows nothing of experiments or the store.

pub mod bench;
mod checkpoint;
pub mod doctor;
mod error;
mod example;
mod gradient;
mod loss;
mod optimizer;
mod schedule;
mod settings;
mod train;

pub use error::Error;
pub use example::{Example, Packed, lay_out, pack};
pub use loss::{mean_loss, response_loss};
pub use schedule::Schedule;
pub use settings::{Loss, Settings};
pub use train::{Flow, Hooks, Step, Trained, train};
