//! CPU kernels on plain slices: what the fused operations of `inerd-lm` compute, each with its gradient.
//!
//! A transformer written in elementary tensor operations passes over its activations a dozen times per layer, and most
//! of a training step goes into those passes. Here each step of a layer is one pass (or one matrix product), and what
//! its gradient needs is recomputed instead of stored. Everything is f32 and row-major; shapes stand in brackets.
//!
//! Results depend neither on the number of threads nor on which rows share a call: every output is summed in one fixed
//! order. This crate knows no tensors, devices or models.

// The compiler vectorises only what is inlined into a function that may use vector instructions.
#![expect(clippy::inline_always, reason = "see `simd`")]

pub mod activation;
mod adamw;
mod attention;
mod cross_entropy;
mod matmul;
mod norm;
mod simd;

pub use adamw::{AdamW, squared_norm};
pub use attention::{Attention, Heads, Pattern, attention, attention_gradient};
pub use cross_entropy::{Allowed, Gradients, Loss, allowed_loss, vocabulary_loss};
pub use matmul::{Matrix, column_sums, matmul, matmul_into, selected_logits};
pub use norm::{NormGradient, layer_norm, layer_norm_gradient, rms_norm, rms_norm_gradient};

/// Rows that one thread takes at a time where rows are independent. Fixed, so that sums over rows have one order.
const ROWS: usize = 64;
