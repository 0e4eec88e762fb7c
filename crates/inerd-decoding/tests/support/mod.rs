//! Tokenizers for tests: a toy one with any vocabulary, and the real ones where they are at hand.
#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(clippy::print_stderr, reason = "a skipped test must say so")]

pub(crate) mod inline;
pub(crate) mod properties;
pub(crate) mod random;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use inerd_decoding::Tokenizer;

/// Greedy longest match over any vocabulary, with all single bytes as a fallback: ids 0..256 are the bytes, then come
/// the given pieces, then the special tokens, of which the first is end-of-sequence.
#[derive(Debug)]
pub(crate) struct Toy {
    tokens: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    longest: usize,
    specials: Vec<String>,
    prefixes_space: bool,
}

impl Toy {
    pub(crate) fn new<S: AsRef<str>>(pieces: &[S], specials: &[&str], prefixes_space: bool) -> Arc<Self> {
        let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|b| vec![b]).collect();
        let mut ids: HashMap<Vec<u8>, u32> = tokens.iter().cloned().zip(0..).collect();
        for piece in pieces {
            let bytes = piece.as_ref().as_bytes().to_vec();
            if bytes.len() > 1 && !ids.contains_key(&bytes) {
                ids.insert(bytes.clone(), tokens.len() as u32);
                tokens.push(bytes);
            }
        }
        let longest = tokens.iter().map(Vec::len).max().unwrap_or(1);
        let specials = specials.iter().map(|&s| s.to_owned()).collect();
        Arc::new(Self { tokens, ids, longest, specials, prefixes_space })
    }
}

impl Tokenizer for Toy {
    fn encode(&self, text: &str) -> Vec<u32> {
        let mut bytes = text.as_bytes().to_vec();
        if self.prefixes_space && !bytes.is_empty() {
            bytes.insert(0, b' ');
        }
        let mut rest = bytes.as_slice();
        let mut out = Vec::new();
        while !rest.is_empty() {
            let length = (1..=self.longest.min(rest.len())).rev().find(|&n| self.ids.contains_key(&rest[..n])).unwrap();
            out.push(self.ids[&rest[..length]]);
            rest = &rest[length..];
        }
        out
    }

    fn vocab_size(&self) -> usize {
        self.tokens.len() + self.specials.len()
    }

    fn token_bytes(&self, id: u32) -> &[u8] {
        self.tokens.get(id as usize).map_or(&[], Vec::as_slice)
    }

    fn eos(&self) -> u32 {
        self.tokens.len() as u32
    }

    fn special(&self, text: &str) -> Option<u32> {
        self.specials.iter().position(|s| s == text).map(|i| (self.tokens.len() + i) as u32)
    }
}

/// A `tokenizer.json`.
pub(crate) struct Real {
    inner: tokenizers::Tokenizer,
    bytes: Vec<Vec<u8>>,
    eos: u32,
}

impl Real {
    /// Loads `folder/tokenizer.json` below the shared models, or says that the test is skipped.
    pub(crate) fn shared(folder: &str, eos: &str) -> Option<Arc<Self>> {
        let path = shared()?.join("models").join(folder).join("tokenizer.json");
        if !path.exists() {
            eprintln!("skipped: {folder} has no tokenizer.json");
            return None;
        }
        Some(Self::load(&path, eos))
    }

    pub(crate) fn load(path: &std::path::Path, eos: &str) -> Arc<Self> {
        let inner = tokenizers::Tokenizer::from_file(path).unwrap();
        let eos = inner.token_to_id(eos).unwrap();
        let byte_level = inner.get_vocab(false).contains_key("Ġthe");
        let decode = byte_level_alphabet();
        let added = inner.get_added_tokens_decoder();
        let bytes = (0..inner.get_vocab_size(true) as u32)
            .map(|id| {
                let Some(token) = inner.id_to_token(id).filter(|_| !added.contains_key(&id)) else { return Vec::new() };
                if byte_level {
                    return token.chars().filter_map(|c| decode.get(&c).copied()).collect();
                }
                let byte = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
                match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => vec![byte],
                    None => token.replace('▁', " ").into_bytes(),
                }
            })
            .collect();
        Arc::new(Self { inner, bytes, eos })
    }
}

/// The shared folder, or `None` after saying that the test is skipped.
#[expect(clippy::disallowed_methods, reason = "where test data lie is the one thing tests read from the environment")]
pub(crate) fn shared() -> Option<PathBuf> {
    let path = std::env::var("INERD_SHARED")
        .map_or_else(|_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")), PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no shared folder");
    None
}

fn byte_level_alphabet() -> HashMap<char, u8> {
    let mut shifted = 0;
    (0..=255u8)
        .map(|byte| {
            let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let c = if printable {
                char::from(byte)
            } else {
                shifted += 1;
                char::from_u32(255 + shifted).unwrap()
            };
            (c, byte)
        })
        .collect()
}

impl Tokenizer for Real {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.inner.encode_fast(text, false).unwrap().get_ids().to_vec()
    }

    fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    fn eos(&self) -> u32 {
        self.eos
    }

    fn special(&self, text: &str) -> Option<u32> {
        let id = self.inner.token_to_id(text)?;
        self.token_bytes(id).is_empty().then_some(id)
    }
}
