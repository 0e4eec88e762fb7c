//! Tests of the crate from outside, in one program.

mod committed;
mod common;
mod problems;
