use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use inerd_corpus::{Corpus, encode_all};
use inerd_decoding::{Codec, FormatSettings, Rule, RuleSettings, Rules};
use inerd_text::{Entity, Sentence};

use crate::{Error, Vocabulary};

/// What a tokenizer and the masks make of one corpus: the answers are those of training, and a mask is asked by walking
/// its automaton along the answer.
#[derive(Debug)]
pub struct CorpusWriting {
    codec: Codec,
    masks: Vec<(String, Rules)>,
}

impl CorpusWriting {
    /// Tokenises the corpus in parallel. `identity` names the tokenizer (its file's bytes): under it and the texts the
    /// tokens are kept in the folder `cache`.
    pub fn new(
        tokenizer: &Arc<inerd_lm::Tokenizer>,
        identity: &[u8],
        corpus: &Corpus,
        cache: Option<&Path>,
    ) -> Result<Self, Error> {
        let texts: Vec<&str> = corpus.splits().iter().flat_map(|(_, s)| *s).map(|s| s.text.as_str()).collect();
        let tokens = encode_all(&texts, identity, cache, &|text| tokenizer.encode(text))?;
        let known = texts.into_iter().map(str::to_owned).zip(tokens).collect();
        let tokenizer = Known { vocabulary: Vocabulary(Arc::clone(tokenizer)), known };
        let codec = Codec::new(Arc::new(tokenizer), FormatSettings::default(), corpus.schema.clone())?;
        // The second keeps nothing away but what is no span of the sentence's tokens.
        let loosest = RuleSettings::new(["structure", "types", "span"]).map_or_else(|_| Rules::exact(), |s| s.rules());
        let masks = vec![("exact".to_owned(), Rules::exact()), (format!("{} only", Rule::Span.name()), loosest)];
        Ok(Self { codec, masks })
    }
}

impl inerd_corpus::Writing for CorpusWriting {
    fn length(&self, sentence: &Sentence) -> usize {
        self.codec.prompt(&sentence.text).len() + self.codec.answer(sentence).len()
    }

    fn type_length(&self, kind: &str) -> usize {
        self.codec.tokenizer().encode(&format!(" {kind}")).len()
    }

    fn masks(&self) -> Vec<String> {
        self.masks.iter().map(|(name, _)| name.clone()).collect()
    }

    fn can_write(&self, mask: usize, sentence: &Sentence, entity: &Entity) -> bool {
        let Some((_, rules)) = self.masks.get(mask) else { return false };
        let alone = Sentence { text: sentence.text.clone(), entities: vec![entity.clone()], ..Sentence::default() };
        let automaton = self.codec.automaton(&alone.text, rules);
        let mut state = automaton.start();
        self.codec.answer(&alone).into_iter().all(|token| automaton.advance(&mut state, token).is_ok())
    }
}

/// A tokenizer that has the tokens of some texts already.
struct Known {
    vocabulary: Vocabulary,
    known: HashMap<String, Vec<u32>>,
}

impl inerd_decoding::Tokenizer for Known {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.known.get(text).cloned().unwrap_or_else(|| self.vocabulary.encode(text))
    }

    fn vocab_size(&self) -> usize {
        self.vocabulary.vocab_size()
    }

    fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary.token_bytes(id)
    }

    fn eos(&self) -> u32 {
        self.vocabulary.eos()
    }

    fn special(&self, text: &str) -> Option<u32> {
        self.vocabulary.special(text)
    }
}

#[cfg(test)]
mod tests {
    use inerd_corpus::{CheckOptions, Sameness, check};
    use inerd_text::Schema;

    use super::*;

    /// Where a mention ends inside a token of the sentence no mask can write it; where it ends inside a word the mask of
    /// whole words can't. (If its text stood elsewhere as a word, it could be written: answers say no place.)
    #[test]
    fn mentions_inside_words_and_tokens_are_told_apart() {
        let text = "Bonner met Bonner in Ulm";
        let texts = [text; 8];
        let tokenizer = Arc::new(inerd_lm::Tokenizer::train_bpe(texts.into_iter(), 300).unwrap());
        let sentence = |entities: &[(usize, usize)]| Sentence {
            text: text.to_owned(),
            entities: entities.iter().map(|&(start, end)| Entity::new("City", start, end)).collect(),
            ..Sentence::default()
        };
        let corpus = Corpus {
            name: "toy".to_owned(),
            schema: Schema::new(["City"]),
            train: vec![sentence(&[(21, 24), (0, 6)]), sentence(&[(11, 15)]), sentence(&[(12, 14)])],
            ..Corpus::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let writing = || CorpusWriting::new(&tokenizer, b"toy", &corpus, Some(folder.path())).unwrap();
        let found = |writing: &CorpusWriting| {
            let options = CheckOptions { writing: Some(writing), context: Some(8), sameness: Sameness::Words };
            check(&corpus, &options)
        };
        let first = found(&writing());
        assert_eq!(first.unwritable_mentions["exact"].count, 2);
        let loosest = &first.unwritable_mentions["span only"];
        assert!(loosest.count >= 1 && loosest.examples.iter().all(|e| !e.ends_with("Bonner")), "{loosest:?}");
        assert_eq!(first.too_long.as_ref().unwrap().count, 3);
        assert!(first.lengths.unwrap().longest > 8 && first.type_tokens["City"] > 0);
        // From the cache the same.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(found(&writing()), first);
    }
}
