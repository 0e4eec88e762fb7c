use std::sync::Arc;

use inerd_text::{Entity, Prediction, Schema, Sentence};

use crate::grammar::Grammar;
use crate::parse::{self, Piece};
use crate::spans::SpanIndex;
use crate::tokenizer::{Speller, Tokenizer};
use crate::{Automaton, Error, FormatSettings, Granularity, Rule, Rules};

/// Sentences and entities to tokens and back, for one tokenizer, format and set of types.
#[derive(Debug)]
pub struct Codec {
    speller: Speller,
    schema: Schema,
    combine: Vec<u32>,
    grammar: Arc<Grammar>,
}

/// What an answer says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// The answer's text, without end-of-sequence.
    pub output: String,
    /// In the order written. A surface that the sentence holds is aligned with its leftmost free occurrence.
    pub predictions: Vec<Prediction>,
    /// Pieces that are no entity.
    pub unparsable: Vec<String>,
    /// There was no end-of-sequence.
    pub truncated: bool,
}

impl Codec {
    pub fn new(tokenizer: Arc<dyn Tokenizer>, format: FormatSettings, schema: Schema) -> Result<Self, Error> {
        let speller = Speller::new(tokenizer);
        let mut combine = Vec::new();
        match speller.tokenizer().special(&format.combine) {
            Some(id) => combine.push(id),
            None => speller.spell(&format.combine, &mut combine),
        }
        if combine.is_empty() {
            return Err(Error::Separator { setting: "combine", separator: format.combine });
        }
        let grammar = Arc::new(Grammar::new(&speller, &format, &schema)?);
        Ok(Self { speller, schema, combine, grammar })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn tokenizer(&self) -> &dyn Tokenizer {
        self.speller.tokenizer()
    }

    /// The tokens that the model is given: the sentence and the combine token.
    pub fn prompt(&self, text: &str) -> Vec<u32> {
        let mut ids = self.speller.tokenizer().encode(text);
        ids.extend_from_slice(&self.combine);
        ids
    }

    /// The tokens that the model is trained to write, end-of-sequence included.
    ///
    /// Contents are the sentence's own tokens, so that the automaton accepts exactly this answer. Two kinds of entity
    /// stay outside what the rules claim to allow, and are written all the same: one whose type the schema does not
    /// hold, and one that begins or ends inside a word.
    pub fn answer(&self, sentence: &Sentence) -> Vec<u32> {
        let spans = self.spans(&sentence.text, &self.speller.tokenizer().encode(&sentence.text), false);
        let mut entities: Vec<&Entity> = sentence.entities.iter().collect();
        entities.sort();
        let grammar = &*self.grammar;
        let mut ids = Vec::new();
        for entity in entities {
            for slot in 0..2 {
                ids.extend_from_slice(&grammar.literals[slot]);
                if slot == grammar.type_slot() {
                    self.write_type(&entity.kind, &mut ids);
                } else {
                    self.write_content(sentence, entity, &spans, &mut ids);
                }
            }
            ids.extend_from_slice(&grammar.literals[2]);
        }
        ids.push(grammar.eos);
        ids
    }

    fn write_type(&self, kind: &str, ids: &mut Vec<u32>) {
        match self.schema.id(kind).and_then(|id| self.grammar.names.get(id)) {
            Some(name) => ids.extend_from_slice(name),
            None => self.speller.spell(&self.led(kind.trim()), ids),
        }
    }

    fn write_content(&self, sentence: &Sentence, entity: &Entity, spans: &SpanIndex, ids: &mut Vec<u32>) {
        match spans.tokens_of(entity.span) {
            Some(tokens) => ids.extend(tokens),
            None => self.speller.spell(&self.led(entity.span.of(&sentence.text).unwrap_or_default()), ids),
        }
    }

    /// A piece as it stands behind a separator.
    fn led(&self, piece: &str) -> String {
        let lead = if self.grammar.style.leading_space { " " } else { "" };
        format!("{lead}{}", self.grammar.style.render(piece))
    }

    /// The rules for one sentence.
    pub fn automaton(&self, text: &str, rules: &Rules) -> Automaton {
        let wants_prompt = !rules.is_free();
        let prompt = if wants_prompt { self.speller.tokenizer().encode(text) } else { Vec::new() };
        self.automaton_for(text, &prompt, rules)
    }

    /// The same where the sentence is tokenised already: `prompt` is what [`Codec::prompt`] gave, or its beginning that
    /// spells the text.
    pub fn automaton_for(&self, text: &str, prompt: &[u32], rules: &Rules) -> Automaton {
        debug_assert!(rules.granularity == Granularity::Token, "text level is not there yet");
        let wants_spans = rules.contains(Rule::Span) || rules.contains(Rule::Bigram) || rules.contains(Rule::Copy);
        let inside_words = rules.contains(Rule::Span) && !rules.contains(Rule::WordBoundary);
        let spans = if wants_spans { self.spans(text, prompt, inside_words) } else { self.spans("", &[], false) };
        Automaton::new(Arc::clone(&self.grammar), *rules, Arc::new(spans))
    }

    fn spans(&self, text: &str, prompt: &[u32], inside_words: bool) -> SpanIndex {
        SpanIndex::new(text, prompt, &self.speller, self.grammar.style, inside_words)
    }

    /// Reads an answer, whatever it holds. `probabilities` has the (masked) probability of every token of `ids`; an
    /// entity's confidence is the product over its tokens.
    pub fn decode(&self, text: &str, ids: &[u32], probabilities: Option<&[f32]>) -> Parsed {
        let grammar = &*self.grammar;
        let tokenizer = self.speller.tokenizer();
        let end = ids.iter().position(|&id| id == grammar.eos);
        let ids = &ids[..end.unwrap_or(ids.len())];
        let mut bytes = Vec::new();
        // Where every token ends in the output.
        let mut ends = Vec::with_capacity(ids.len());
        for &id in ids {
            let special = (1..3).find(|&i| grammar.literals[i] == [id] && tokenizer.token_bytes(id).is_empty());
            match special {
                Some(which) => bytes.extend_from_slice(grammar.marks[which].as_bytes()),
                None => bytes.extend_from_slice(tokenizer.token_bytes(id)),
            }
            ends.push(bytes.len());
        }
        let confidence = |piece: &Piece| {
            let probabilities = probabilities?;
            let from = ends.partition_point(|&e| e <= piece.output.start);
            let to = ends.partition_point(|&e| e < piece.output.end);
            let tokens = probabilities.get(from..=to.min(probabilities.len().checked_sub(1)?))?;
            Some(tokens.iter().map(|&p| f64::from(p)).product())
        };
        let (output, whole) = match String::from_utf8(bytes) {
            Ok(output) => (output, true),
            // Replacement characters shift the offsets, so confidences are given up.
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), false),
        };
        let (pieces, unparsable) = parse::records(&output, text, grammar, &self.schema, end.is_none());
        let spans = parse::align(text, &pieces);
        let predictions = (pieces.into_iter().zip(spans))
            .map(|(piece, span)| Prediction {
                confidence: if whole { confidence(&piece) } else { None },
                kind: piece.kind,
                surface: piece.surface,
                span,
            })
            .collect();
        Parsed { output, predictions, unparsable, truncated: end.is_none() }
    }
}
