//! Decoder-only language models in Burn: architectures, weights, tokenizer, KV cache and generation under a constraint.
//!
//! The way through: [`Config`] is read from `config.json`, [`LanguageModel::load`] fills a [`Decoder`] from
//! `model.safetensors` (or [`LanguageModel::random`] from a seeded stream), [`Decoder::hidden`] maps token ids to
//! hidden states, and [`generate()`] drives it token by token under a [`Constraint`]. [`LanguageModel::with_adapter`] freezes a model and
//! lets a low-rank adapter be trained on it.
//!
//! Parameters keep the names, shapes and memory order of the checkpoint, so that reading and writing are copies.
//! This crate knows nothing of entities or experiments.

pub mod attention;
mod branches;
mod cache;
mod config;
mod device;
mod dropout;
mod error;
mod falcon;
pub mod generate;
mod gpt2;
mod gpt_neox;
pub mod hub;
mod llama;
mod lora;
mod model;
mod nn;
pub mod random;
mod reader;
mod rotary;
mod teacher;
mod tokenizer;
mod weights;

pub use branches::{Branch, Branches};
pub use burn::tensor::Device;
pub use cache::KvCache;
pub use config::{Activation, Config, EndOfSequence};
pub use device::{DeviceChoice, InvalidDevice};
pub use dropout::Noise;
pub use error::Error;
pub use falcon::{Falcon, FalconConfig};
pub use generate::{Allowed, Constraint, Output, Request, Sampling, Settings, generate};
pub use gpt_neox::{GptNeoX, GptNeoXConfig};
pub use gpt2::{Gpt2, Gpt2Config};
pub use llama::{Llama, LlamaConfig};
pub use lora::{ADAPTER_CONFIG, LoraConfig};
pub use model::{Decoder, Input, LanguageModel};
pub use nn::{Embedding, Linear};
pub use rotary::RopeParameters;
pub use teacher::{Given, given_answers};
pub use tokenizer::Tokenizer;
pub use weights::{Contents, contents};
