use std::sync::Arc;

/// A language model's tokenizer, as decoding wants to see it.
#[derive(Debug, Clone)]
pub struct Vocabulary(pub Arc<inerd_lm::Tokenizer>);

impl inerd_decoding::Tokenizer for Vocabulary {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.0.encode(text)
    }

    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn token_bytes(&self, id: u32) -> &[u8] {
        self.0.token_bytes(id)
    }

    fn eos(&self) -> u32 {
        self.0.end_of_sequence()
    }

    fn special(&self, text: &str) -> Option<u32> {
        self.0.token_id(text).filter(|&id| self.0.token_bytes(id).is_empty())
    }
}
