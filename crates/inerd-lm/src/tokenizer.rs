use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

use crate::Error;

/// Names under which models call their end-of-sequence token, tried in this order when `config.json` gives no id.
const END_OF_SEQUENCE: [&str; 6] = ["<|endoftext|>", "</s>", "<|end_of_text|>", "<|im_end|>", "<eos>", "[EOS]"];

/// A tokenizer with the bytes that each of its tokens adds to the output.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Raw bytes per token id; empty for special tokens.
    bytes: Vec<Vec<u8>>,
    end_of_sequence: u32,
}

impl Tokenizer {
    /// Reads `tokenizer.json`. `end_of_sequence` is the model's own id, where its configuration states one.
    pub fn load(path: &Path, end_of_sequence: Option<u32>) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Tokenizer { path: path.to_owned(), reason };
        // Read first: the library's own error doesn't tell a missing file from a malformed one.
        let bytes = std::fs::read(path).map_err(Error::read(path))?;
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| invalid(e.to_string()))?;
        Self::new(inner, end_of_sequence).map_err(invalid)
    }

    /// Trains byte-level BPE (Sennrich et al. 2016 over bytes, as GPT-2) of at most `vocab_size` tokens on `texts`.
    ///
    /// The same texts in the same order give the same tokenizer.
    pub fn train_bpe<'a>(texts: impl Iterator<Item = &'a str> + Send, vocab_size: usize) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Tokenizer { path: "trained tokenizer".into(), reason };
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab_size)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(vec![AddedToken::from(END_OF_SEQUENCE[0], true)])
            .build();
        let mut tokenizer = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None::<tokenizers::NormalizerWrapper>)
            .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
            .with_post_processor(Some(ByteLevel::new(false, false, true)))
            .with_decoder(Some(ByteLevel::default()))
            .build()
            .map_err(|e| invalid(e.to_string()))?;
        tokenizer.train(&mut trainer, texts).map_err(|e| invalid(e.to_string()))?;
        Self::new(tokenizer.into(), None).map_err(invalid)
    }

    fn new(mut inner: tokenizers::Tokenizer, end_of_sequence: Option<u32>) -> Result<Self, String> {
        // Prompts are built by the caller: nothing may cut or pad them silently.
        inner.with_truncation(None).map_err(|e| e.to_string())?;
        inner.with_padding(None);
        let end_of_sequence = end_of_sequence
            .or_else(|| END_OF_SEQUENCE.iter().find_map(|name| inner.token_to_id(name)))
            .ok_or_else(|| format!("it holds no end-of-sequence token (looked for {})", END_OF_SEQUENCE.join(", ")))?;
        let bytes = token_bytes(&inner);
        Ok(Self { inner, bytes, end_of_sequence })
    }

    /// The same tokenizer with tokens of one's own at the end of its vocabulary. Each is matched verbatim wherever it
    /// stands in a text and adds nothing to the output; those that it knows already stay what they are.
    pub fn with_tokens(mut self, names: &[&str]) -> Result<Self, Error> {
        let tokens = names.iter().map(|name| AddedToken::from(*name, true)).collect::<Vec<_>>();
        let refused = |e: tokenizers::Error| Error::Tokenizer { path: "tokenizer".into(), reason: e.to_string() };
        self.inner.add_tokens(tokens).map_err(refused)?;
        self.bytes = token_bytes(&self.inner);
        Ok(self)
    }

    /// Writes `tokenizer.json`.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        self.inner
            .save(path, false)
            .map_err(|e| Error::Write { path: path.to_owned(), source: std::io::Error::other(e) })
    }

    /// Token ids of `text`, without begin- or end-of-sequence.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // Encoding fails for models without an unknown token only; the raw bytes of such text are simply left out.
        self.inner.encode_fast(text, false).map(|e| e.get_ids().to_vec()).unwrap_or_default()
    }

    /// Token ids of `text` with what the tokenizer puts around it, such as begin-of-sequence: as transformers reads it.
    pub fn encode_with_special(&self, text: &str) -> Vec<u32> {
        self.inner.encode_fast(text, true).map(|e| e.get_ids().to_vec()).unwrap_or_default()
    }

    /// The text of token ids as the tokenizer's own decoder joins it, special tokens left out.
    pub fn decode_text(&self, ids: &[u32]) -> String {
        self.inner.decode(ids, true).unwrap_or_else(|_| self.decode(ids))
    }

    /// The text of token ids; bytes that are no UTF-8 become replacement characters.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The raw bytes that a token adds to the output; empty for special and unknown ones.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// One more than the largest token id.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    pub fn end_of_sequence(&self) -> u32 {
        self.end_of_sequence
    }

    /// The id of a token by its exact name, special tokens included.
    pub fn token_id(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name)
    }
}

/// How a vocabulary spells bytes.
enum Spelling {
    /// Every byte is a printable character (GPT-2).
    ByteLevel(BTreeMap<char, u8>),
    /// `▁` is a space and `<0x0A>` a byte (`SentencePiece`).
    SentencePiece,
}

fn token_bytes(tokenizer: &tokenizers::Tokenizer) -> Vec<Vec<u8>> {
    let spelling = match tokenizer.get_decoder() {
        Some(DecoderWrapper::ByteLevel(_)) => Spelling::ByteLevel(byte_level_alphabet()),
        _ => Spelling::SentencePiece,
    };
    let vocabulary = tokenizer.get_vocab(true);
    let size = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
    let mut bytes = vec![Vec::new(); size];
    for (token, id) in vocabulary {
        bytes[id as usize] = spelling.bytes(&token);
    }
    for (&id, token) in &tokenizer.get_added_tokens_decoder() {
        // Added tokens are matched verbatim; special ones stand for no text at all.
        bytes[id as usize] = if token.special { Vec::new() } else { token.content.clone().into_bytes() };
    }
    bytes
}

impl Spelling {
    fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel(alphabet) => token
                .chars()
                .flat_map(|c| alphabet.get(&c).map_or_else(|| c.to_string().into_bytes(), |&byte| vec![byte]))
                .collect(),
            Self::SentencePiece => {
                let byte = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
                match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => vec![byte],
                    None => token.replace('▁', " ").into_bytes(),
                }
            }
        }
    }
}

/// GPT-2's table: printable Latin-1 bytes stand for themselves, the others for the code points from 256 on, in order.
fn byte_level_alphabet() -> BTreeMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 256;
    (0..=255u8)
        .map(|byte| {
            let code = if printable(byte) {
                u32::from(byte)
            } else {
                next += 1;
                next - 1
            };
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), byte)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_is_deterministic_and_every_byte_survives() {
        let texts = ["Ada Lovelace lived in London.", "Ada met Babbage in London.", "Zoë 🦀 Kraków\n\t"];
        let train = || Tokenizer::train_bpe(texts.iter().copied(), 300).unwrap();
        let (one, two) = (train(), train());
        for text in texts.iter().chain(&["", "never seen: 東京 \u{7f}"]) {
            assert_eq!(one.encode(text), two.encode(text));
            assert_eq!(one.decode(&one.encode(text)), *text);
        }
        assert!(one.vocab_size() <= 300);
        assert_eq!(one.token_bytes(one.end_of_sequence()), b"");
    }

    #[test]
    fn a_missing_tokenizer_and_a_broken_one_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        let missing = Tokenizer::load(&path, None).unwrap_err();
        assert!(matches!(missing, Error::Read { .. }), "{missing}");
        std::fs::write(&path, "{\"version\":").unwrap();
        let broken = Tokenizer::load(&path, None).unwrap_err();
        assert!(matches!(broken, Error::Tokenizer { .. }), "{broken}");
    }
}
