//! Tests of the crate from outside, in one program.

mod arms;
mod committed;
mod common;
mod cost;
mod decisions;
mod documents;
mod fingerprints;
mod hostile;
mod plans;
mod problems;
mod techniques;
