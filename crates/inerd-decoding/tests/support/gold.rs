//! Gold answers of corpora, walked token by token.

use std::fmt;
use std::sync::Arc;

use inerd_corpus::Corpus;
use inerd_decoding::{Codec, FormatSettings, Granularity, Rules, Tokenizer};
use inerd_text::Sentence;

/// What happened to the gold answers of one corpus with one tokenizer and one set of rules.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) sentences: usize,
    pub(crate) tokens: usize,
    /// Answers that the rules claim to allow, and refused. Must stay empty.
    pub(crate) refused: Vec<String>,
    /// Answers that the rules don't claim to allow: the sentence's id and what is wrong with it.
    pub(crate) unclaimed: Vec<String>,
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sentences, tokens, refused, unclaimed } = self;
        write!(f, "{sentences:>8} {tokens:>9} {:>8} {:>10}", refused.len(), unclaimed.len())
    }
}

/// The tokenizers of the shared models with the name of their end-of-sequence.
pub(crate) const TOKENIZERS: [(&str, &str); 4] = [
    ("tokenizers/gpt2", "<|endoftext|>"),
    ("tinystories-3m-chat-gpt2/hf", "<|endoftext|>"),
    ("tinystories-656k/hf", "<|end_story|>"),
    ("stories260k/hf", "</s>"),
];

/// Walks the gold answers of at most `most` sentences of every split, evenly spread, under `exact` at both levels.
pub(crate) fn walk(corpus: &Corpus, tokenizer: &Arc<dyn Tokenizer>, most: usize) -> [Walked; 2] {
    let codec = Codec::new(Arc::clone(tokenizer), FormatSettings::default(), corpus.schema.clone()).expect("a codec");
    [Granularity::Token, Granularity::Text].map(|granularity| {
        let mut walked = Walked::default();
        for (_, sentences) in corpus.splits() {
            let step = sentences.len().div_ceil(most.max(1)).max(1);
            for sentence in sentences.iter().step_by(step) {
                one(&codec, sentence, &Rules::exact().at(granularity), &mut walked);
            }
        }
        walked
    })
}

fn one(codec: &Codec, sentence: &Sentence, rules: &Rules, walked: &mut Walked) {
    walked.sentences += 1;
    let automaton = codec.automaton(&sentence.text, rules);
    let (mut state, mut scratch) = (automaton.start(), Vec::new());
    let mut written = Vec::new();
    for token in codec.answer(sentence) {
        walked.tokens += 1;
        written.push(token);
        let allowed = automaton.allowed(&state, &mut scratch).contains(token);
        assert_eq!(allowed, automaton.advance(&mut state, token).is_ok(), "mask and step disagree: {}", sentence.id);
        if !allowed {
            let answer = codec.decode(&sentence.text, &written, None).output;
            let report = format!("{}: {:?}, refused at the end of {answer:?}", sentence.id, sentence.text);
            if codec.claims(sentence, rules) { &mut walked.refused } else { &mut walked.unclaimed }.push(report);
            return;
        }
    }
    assert!(automaton.is_final(&state), "{}", sentence.id);
}
