//! Decoder-only language models in Burn: architectures, weights, tokenizer, KV cache and generation under a constraint.
//!
//! The way through: [`Config`] is read from `config.json`, [`LanguageModel::load`] fills a [`Decoder`] from
//! `model.safetensors` (or [`LanguageModel::random`] from a seeded stream), [`Decoder::hidden`] maps token ids to
//! hidden states, and [`generate()`] drives it token by token under a [`Constraint`].
//!
//! Parameters keep the names, shapes and memory order of the checkpoint, so that reading and writing are copies.
//! This crate knows nothing of entities or experiments.

pub mod attention;
pub mod bench;
mod branches;
mod cache;
mod config;
mod device;
mod error;
pub mod fused;
pub mod generate;
mod gpt2;
mod model;
mod nn;
pub mod random;
mod reader;
mod teacher;
mod tokenizer;
mod weights;

pub use burn::tensor::Device;

pub use branches::{Branch, Branches};
pub use cache::KvCache;
pub use config::{Activation, Config, Gpt2Config};
pub use device::{DeviceChoice, InvalidDevice};
pub use error::Error;
pub use generate::{Allowed, Constraint, Output, Request, Sampling, Settings, generate};
pub use gpt2::Gpt2;
pub use model::{Decoder, Input, LanguageModel};
pub use teacher::{Given, given_answers};
pub use tokenizer::Tokenizer;
