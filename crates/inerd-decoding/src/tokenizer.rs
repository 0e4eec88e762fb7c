use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::vocabulary::UNKNOWN;

/// What decoding needs of a tokenizer.
pub trait Tokenizer: Send + Sync {
    /// Token ids of a text, without begin- or end-of-sequence.
    fn encode(&self, text: &str) -> Vec<u32>;
    /// Number of ids; every id is below it.
    fn vocab_size(&self) -> usize;
    /// The raw bytes that a token adds to the output; empty for special tokens and unknown ids.
    fn token_bytes(&self, id: u32) -> &[u8];
    /// End-of-sequence.
    fn eos(&self) -> u32;
    /// The id of a special token by its text (`<TCS>`), or `None` where the vocabulary has none of that name.
    fn special(&self, text: &str) -> Option<u32>;
}

/// Spells *pieces* of a text, which a tokenizer made for whole texts does not do by itself: a `SentencePiece` model puts
/// a space in front of everything, so that `(` and ` (` can't be told apart through `encode` alone.
pub(crate) struct Speller {
    tokenizer: Arc<dyn Tokenizer>,
    /// `encode("a")` spells " a".
    prefixes_space: bool,
    /// Every byte is a token, so that any text can be spelled.
    complete: bool,
    /// The token for text that can't be spelled.
    unknown: Option<u32>,
    /// Spelled pieces. Words recur, and most sentences need but a few pieces spelled anew.
    cache: RwLock<HashMap<String, Box<[u32]>>>,
}

/// The cache is emptied when it holds this many pieces.
const CACHED_PIECES: usize = 1 << 16;

impl fmt::Debug for Speller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speller").field("prefixes_space", &self.prefixes_space).finish_non_exhaustive()
    }
}

impl Speller {
    pub(crate) fn new(tokenizer: Arc<dyn Tokenizer>) -> Self {
        let prefixes_space = bytes_of(&*tokenizer, &tokenizer.encode("a")) == b" a";
        let mut single = [false; 256];
        for id in 0..tokenizer.vocab_size() as u32 {
            if let &[byte] = tokenizer.token_bytes(id) {
                single[byte as usize] = true;
            }
        }
        let complete = single.iter().all(|&s| s);
        // A private-use character, which only a vocabulary of bytes can spell.
        let mut probe = if complete { Vec::new() } else { tokenizer.encode("\u{10fffd}") };
        probe.retain(|&id| tokenizer.token_bytes(id).is_empty());
        Self { prefixes_space, complete, unknown: probe.first().copied(), tokenizer, cache: RwLock::default() }
    }

    /// The token that stands for text without tokens of its own, where the vocabulary has gaps.
    pub(crate) fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Appends the bytes of a piece, with one [`UNKNOWN`] for what the tokenizer can't spell.
    pub(crate) fn symbols(&self, piece: &str, out: &mut Vec<u32>) {
        if self.complete || piece.is_empty() {
            out.extend(piece.bytes().map(u32::from));
            return;
        }
        let mut ids = Vec::new();
        self.spell(piece, &mut ids);
        for id in ids {
            match self.tokenizer.token_bytes(id) {
                [] => out.push(UNKNOWN),
                bytes => out.extend(bytes.iter().copied().map(u32::from)),
            }
        }
    }

    pub(crate) fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.tokenizer
    }

    /// Whether the first token of an encoded text carries a space that the text does not have.
    pub(crate) fn prefixes_space(&self) -> bool {
        self.prefixes_space
    }

    /// Appends the canonical tokens of exactly these characters to `out`.
    pub(crate) fn spell(&self, piece: &str, out: &mut Vec<u32>) {
        if let Some(ids) = self.cache.read().unwrap_or_else(PoisonError::into_inner).get(piece) {
            out.extend_from_slice(ids);
            return;
        }
        let ids = self.spell_anew(piece);
        out.extend_from_slice(&ids);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_PIECES {
            cache.clear();
        }
        cache.insert(piece.to_owned(), ids.into());
    }

    /// Whether tokens spell a piece; what holds the unknown token can't be compared.
    fn agrees(&self, ids: &[u32], piece: &str) -> bool {
        ids.iter().any(|&id| self.tokenizer.token_bytes(id).is_empty())
            || bytes_of(self.tokenizer(), ids) == piece.as_bytes()
    }

    fn spell_anew(&self, piece: &str) -> Vec<u32> {
        if !self.prefixes_space {
            return self.tokenizer.encode(piece);
        }
        if let Some(rest) = piece.strip_prefix(' ')
            && !rest.is_empty()
        {
            return self.tokenizer.encode(rest);
        }
        // No space wanted: spell the piece behind an anchor and cut the anchor off, where a token ends there.
        for anchor in ["\n", "(", "\"", "-", "0", "a"] {
            let ids = self.tokenizer.encode(&format!("{anchor}{piece}"));
            let mut length = 0;
            let cut = ids.iter().position(|&id| {
                length += self.tokenizer.token_bytes(id).len();
                length == 1 + anchor.len()
            });
            if let Some(cut) = cut
                && self.agrees(&ids[cut + 1..], piece)
            {
                return ids[cut + 1..].to_vec();
            }
        }
        self.tokenizer.encode(piece)
    }
}

pub(crate) fn bytes_of(tokenizer: &dyn Tokenizer, ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect()
}
