//! The whole vocabulary as one prefix trie over bytes, for the text level: which tokens spell the beginning of this?

use crate::tokenizer::Tokenizer;

/// Stands for text that the tokenizer has no bytes for and writes as its unknown token.
pub(crate) const UNKNOWN: u32 = 256;

/// Built once per codec. Nodes in breadth-first order, so that siblings lie side by side.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// Per node: the byte that leads to it.
    bytes: Vec<u8>,
    /// Per node: where its children begin; they end where the next node's begin.
    children: Vec<u32>,
    /// Per node: where its tokens begin in `tokens`.
    tokens_from: Vec<u32>,
    tokens: Vec<u32>,
    /// The children of the root by byte; 0 for none.
    first: Box<[u32; 256]>,
    unknown: Option<u32>,
    /// The bytes of every token, one after the other, and where each one's begin.
    spellings: Vec<u8>,
    spellings_from: Vec<u32>,
}

impl Vocabulary {
    pub(crate) const ROOT: u32 = 0;

    pub(crate) fn new(tokenizer: &dyn Tokenizer, unknown: Option<u32>) -> Self {
        let mut order: Vec<(&[u8], u32)> = (0..tokenizer.vocab_size() as u32)
            .map(|id| (tokenizer.token_bytes(id), id))
            .filter(|(bytes, _)| !bytes.is_empty())
            .collect();
        order.sort_unstable();
        let mut this = Self {
            bytes: vec![0],
            children: Vec::new(),
            tokens_from: Vec::new(),
            tokens: Vec::with_capacity(order.len()),
            first: Box::new([0; 256]),
            unknown,
            spellings: Vec::new(),
            spellings_from: vec![0],
        };
        for id in 0..tokenizer.vocab_size() as u32 {
            this.spellings.extend_from_slice(tokenizer.token_bytes(id));
            this.spellings_from.push(this.spellings.len() as u32);
        }
        // Each node stands for a range of the sorted tokens that share `depth` bytes.
        let mut queue = std::collections::VecDeque::from([(0, order.len(), 0)]);
        while let Some((mut low, high, depth)) = queue.pop_front() {
            this.tokens_from.push(this.tokens.len() as u32);
            while low < high && order[low].0.len() == depth {
                this.tokens.push(order[low].1);
                low += 1;
            }
            this.children.push(this.bytes.len() as u32);
            while low < high {
                let byte = order[low].0[depth];
                let same = order[low..high].partition_point(|(bytes, _)| bytes[depth] == byte);
                if depth == 0 {
                    this.first[byte as usize] = this.bytes.len() as u32;
                }
                this.bytes.push(byte);
                queue.push_back((low, low + same, depth + 1));
                low += same;
            }
        }
        this.children.push(this.bytes.len() as u32);
        this.tokens_from.push(this.tokens.len() as u32);
        this
    }

    /// The node behind one more symbol (a byte).
    pub(crate) fn child(&self, node: u32, symbol: u32) -> Option<u32> {
        let byte = u8::try_from(symbol).ok()?;
        if node == Self::ROOT {
            return Some(self.first[byte as usize]).filter(|&node| node != 0);
        }
        let (from, to) = (self.children[node as usize] as usize, self.children[node as usize + 1] as usize);
        let siblings = &self.bytes[from..to];
        // Most nodes have one child or two.
        let at = if siblings.len() <= 8 {
            siblings.iter().position(|&b| b == byte)?
        } else {
            siblings.binary_search(&byte).ok()?
        };
        Some((from + at) as u32)
    }

    /// The tokens that end at a node.
    pub(crate) fn tokens(&self, node: u32) -> &[u32] {
        &self.tokens[self.tokens_from[node as usize] as usize..self.tokens_from[node as usize + 1] as usize]
    }

    /// The bytes of a token; empty for ids that the vocabulary does not have.
    pub(crate) fn spelling(&self, token: u32) -> &[u8] {
        let from = token as usize;
        match self.spellings_from.get(from..from + 2) {
            Some(&[from, to]) => &self.spellings[from as usize..to as usize],
            _ => &[],
        }
    }

    pub(crate) fn unknown(&self) -> Option<u32> {
        self.unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words(Vec<&'static str>);

    impl Tokenizer for Words {
        fn encode(&self, _: &str) -> Vec<u32> {
            Vec::new()
        }
        fn vocab_size(&self) -> usize {
            self.0.len()
        }
        fn token_bytes(&self, id: u32) -> &[u8] {
            self.0[id as usize].as_bytes()
        }
        fn eos(&self) -> u32 {
            0
        }
        fn special(&self, _: &str) -> Option<u32> {
            None
        }
    }

    #[test]
    fn every_token_is_found_by_its_bytes_and_twins_share_a_node() {
        let words = Words(vec!["", "a", "ab", "abc", "b", "ab", "bb", "é"]);
        let vocabulary = Vocabulary::new(&words, None);
        for (id, word) in words.0.iter().enumerate().skip(1) {
            let node = word.bytes().try_fold(Vocabulary::ROOT, |node, b| vocabulary.child(node, u32::from(b)));
            assert!(vocabulary.tokens(node.unwrap()).contains(&(id as u32)), "{word}");
        }
        let ab = vocabulary.child(vocabulary.child(0, u32::from(b'a')).unwrap(), u32::from(b'b')).unwrap();
        assert_eq!(vocabulary.tokens(ab), [2, 5]);
        assert_eq!(vocabulary.child(ab, u32::from(b'x')), None);
        assert_eq!(vocabulary.child(0, UNKNOWN), None);
    }
}
