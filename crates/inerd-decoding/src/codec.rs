use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use inerd_text::{Entity, Prediction, Schema, Sentence};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::chain::{Chain, Source};
use crate::grammar::Grammar;
use crate::limits::Text;
use crate::parse::{self, Piece, Reader, UNKNOWN_TEXT};
use crate::spans::SpanIndex;
use crate::state::Open;
use crate::tokenizer::{Speller, Tokenizer};
use crate::vocabulary::Vocabulary;
use crate::words::{self, Unit};
use crate::{Automaton, EntityOrder, Error, FormatSettings, Granularity, Layout, Occurrence, Rule, Rules};

/// Sentences and entities to tokens and back, for one tokenizer, format and set of types.
#[derive(Debug)]
pub struct Codec {
    speller: Speller,
    format: FormatSettings,
    schema: Schema,
    /// The format's `begin`, if it has one.
    begin: Vec<u32>,
    /// The line that lists the types, if the format wants it.
    types: Vec<u32>,
    combine: Vec<u32>,
    grammar: Arc<Grammar>,
    /// Type by written name.
    kinds: BTreeMap<String, String>,
    /// Built when the text level is first asked for.
    vocabulary: OnceLock<Arc<Vocabulary>>,
}

/// What an answer says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// The answer's text, without end-of-sequence.
    pub output: String,
    /// In the order written. A surface that the sentence holds is aligned with an occurrence as the format's
    /// [`Occurrence`] says.
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
        let mut begin = Vec::new();
        if !format.begin.is_empty() {
            let id = speller.tokenizer().special(&format.begin);
            begin.push(id.ok_or_else(|| Error::Separator { setting: "begin", separator: format.begin.clone() })?);
        }
        let types = if format.types_in_prompt { grammar.written.join(", ") } else { String::new() };
        let types = line(&speller, &types, &combine);
        let kinds = grammar.written.iter().cloned().zip(schema.types().iter().cloned()).collect();
        Ok(Self { speller, format, schema, begin, types, combine, grammar, kinds, vocabulary: OnceLock::new() })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn format(&self) -> &FormatSettings {
        &self.format
    }

    pub fn tokenizer(&self) -> &dyn Tokenizer {
        self.speller.tokenizer()
    }

    pub(crate) fn speller(&self) -> &Speller {
        &self.speller
    }

    pub(crate) fn combine_len(&self) -> usize {
        self.combine.len()
    }

    /// The tokens of every type's name as answers write it, in the order of the schema.
    pub fn type_names(&self) -> &[Vec<u32>] {
        &self.grammar.names
    }

    /// The tokens that the model is given: what the format puts in front, the sentence, the combine token.
    pub fn prompt(&self, text: &str) -> Vec<u32> {
        self.prompt_with_cue(&self.format.cue, text)
    }

    /// As [`Codec::prompt`], with a cue of the sentence's own (the name of its corpus) in place of the format's.
    pub fn prompt_with_cue(&self, cue: &str, text: &str) -> Vec<u32> {
        let mut ids = self.front(cue);
        ids.extend(self.speller.tokenizer().encode(text));
        ids.extend_from_slice(&self.combine);
        ids
    }

    /// Which tokens of a prompt with the format's cue are the sentence's.
    pub fn sentence_of(&self, prompt: &[u32]) -> Range<usize> {
        let from = self.front(&self.format.cue).len().min(prompt.len());
        from..prompt.len().saturating_sub(self.combine.len()).max(from)
    }

    /// What stands before the sentence.
    fn front(&self, cue: &str) -> Vec<u32> {
        [self.begin.as_slice(), &line(&self.speller, cue, &self.combine), &self.types].concat()
    }

    /// The tokens that the model is trained to write, end-of-sequence included.
    ///
    /// Contents are the sentence's own tokens, so that the automaton accepts exactly this answer. What the rules don't
    /// claim to allow is written all the same: an entity of a type outside the schema, or one that begins or ends
    /// inside a word. (Inline, where marks stand around words, the latter is left out.)
    pub fn answer(&self, sentence: &Sentence) -> Vec<u32> {
        let units = words::units(&sentence.text);
        let prompt = self.speller.tokenizer().encode(&sentence.text);
        let inline = self.grammar.layout == Layout::Inline;
        // An entity that begins or ends inside a word is spelled as the sentence's tokens have it, where they can.
        let spans = SpanIndex::new(Chain::of_tokens(self.source(&sentence.text, &units, !inline), &prompt), None);
        let mut ids = Vec::new();
        if inline {
            self.write_inline(sentence, &units, &spans.with_words(), &mut ids);
        } else {
            for entity in self.ordered(sentence) {
                self.write_record(sentence, entity, &spans, &mut ids);
            }
        }
        ids.push(self.grammar.eos);
        ids
    }

    /// The entities in the order in which the answer names them.
    fn ordered<'a>(&self, sentence: &'a Sentence) -> Vec<&'a Entity> {
        let mut entities: Vec<&Entity> = sentence.entities.iter().collect();
        entities.sort();
        match self.format.entity_order {
            EntityOrder::Text => {}
            EntityOrder::Type => entities.sort_by(|a, b| a.kind.cmp(&b.kind)),
            EntityOrder::Random => {
                // FNV-1a, so that a sentence's order depends on itself and the seed alone.
                let hash = sentence.text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
                entities.shuffle(&mut ChaCha8Rng::seed_from_u64(self.format.seed ^ hash));
            }
        }
        entities
    }

    fn write_record(&self, sentence: &Sentence, entity: &Entity, spans: &SpanIndex, ids: &mut Vec<u32>) {
        let grammar = &*self.grammar;
        for slot in 0..2 {
            ids.extend_from_slice(&grammar.literals[slot]);
            if slot == grammar.type_slot() {
                self.write_type(&entity.kind, ids);
            } else {
                match spans.symbols_of(entity.span) {
                    Some(tokens) => ids.extend(tokens),
                    None => {
                        self.speller.spell(&grammar.style.led(entity.span.of(&sentence.text).unwrap_or_default()), ids);
                    }
                }
            }
        }
        ids.extend_from_slice(&grammar.literals[2]);
    }

    fn write_type(&self, kind: &str, ids: &mut Vec<u32>) {
        match self.schema.id(kind).and_then(|id| self.grammar.names.get(id)) {
            Some(name) => ids.extend_from_slice(name),
            None => self.speller.spell(&self.grammar.style.led(kind.trim()), ids),
        }
    }

    /// The sentence with marks. `spans` knows its words.
    fn write_inline(&self, sentence: &Sentence, units: &[Unit], spans: &SpanIndex, ids: &mut Vec<u32>) {
        let [open, tcs, close] = &self.grammar.literals;
        let entities = nested(sentence, units);
        let mut next = entities.iter().peekable();
        // Where the entities that are open end.
        let mut ends: Vec<usize> = Vec::new();
        for (i, unit) in units.iter().enumerate() {
            let mut opened = false;
            while let Some(entity) = next.next_if(|e| e.span.start == unit.start) {
                ids.extend_from_slice(open);
                self.write_type(&entity.kind, ids);
                ids.extend_from_slice(tcs);
                ends.push(entity.span.end);
                opened = true;
            }
            let (from, start) = spans.word(i);
            let (to, _) = spans.word(i + 1);
            let head = spans.head(start);
            let own = spans.chain(from, to);
            ids.extend_from_slice(if opened && !head.is_empty() { head } else { own });
            while ends.last() == Some(&unit.end) {
                ends.pop();
                ids.extend_from_slice(close);
            }
        }
    }

    /// The rules for one sentence.
    pub fn automaton(&self, text: &str, rules: &Rules) -> Automaton {
        let prompt = if rules.is_free() { Vec::new() } else { self.speller.tokenizer().encode(text) };
        self.automaton_for(text, &prompt, rules)
    }

    /// The same where the sentence is tokenised already: `tokens` are the sentence's own within the prompt (see
    /// [`Codec::sentence_of`]). This is what decoding costs per sentence.
    pub fn automaton_for(&self, text: &str, tokens: &[u32], rules: &Rules) -> Automaton {
        self.automaton_with(text, tokens, rules, rules.contains(Rule::Span) && !rules.contains(Rule::WordBoundary))
    }

    pub(crate) fn automaton_with(&self, text: &str, tokens: &[u32], rules: &Rules, inside_words: bool) -> Automaton {
        let inline = self.grammar.layout == Layout::Inline && !rules.is_free();
        let spanned = rules.contains(Rule::Span) || inline;
        let listed = rules.contains(Rule::Bigram) || rules.contains(Rule::Copy);
        let text = if spanned || listed { text } else { "" };
        let units = words::units(text);
        let source = self.source(text, &units, inside_words && !inline);
        // The weaker rules speak of tokens.
        let by_text = rules.granularity == Granularity::Text && spanned;
        let mut spans = if by_text {
            let vocabulary = self
                .vocabulary
                .get_or_init(|| Arc::new(Vocabulary::new(self.speller.tokenizer(), self.speller.unknown())));
            SpanIndex::new(Chain::of_bytes(source), Some(Arc::clone(vocabulary)))
        } else {
            SpanIndex::new(Chain::of_tokens(source, tokens), None)
        };
        if inline {
            spans = spans.with_words();
        }
        let pairs = !spanned && rules.contains(Rule::Bigram);
        let bag = if pairs || (!spanned && listed) { spans.bag(tokens) } else { Vec::new() };
        let pairs = if pairs { spans.pairs(tokens) } else { Vec::new() };
        let mut contents_or_end = Vec::new();
        if !self.grammar.type_first {
            contents_or_end.extend_from_slice(if spanned { spans.first() } else { &bag });
            crate::grammar::insert(&mut contents_or_end, self.grammar.eos);
        }
        let looks_back = [Rule::Ordered, Rule::NoOverlap, Rule::NoRepeat, Rule::MaxSpan];
        let limited = spanned && !inline && looks_back.into_iter().any(|rule| rules.contains(rule));
        let text = limited.then(|| Arc::new(Text { text: text.into(), units }));
        let (grammar, spans) = (Arc::clone(&self.grammar), Arc::new(spans));
        Automaton { grammar, rules: *rules, spans, text, bag, pairs, contents_or_end }
    }

    fn source<'a>(&'a self, text: &'a str, units: &'a [Unit], inside_words: bool) -> Source<'a> {
        Source { text, units, speller: &self.speller, style: self.grammar.style, inside_words }
    }

    /// Whether every rule claims to allow this sentence's answer, as the table of rules says.
    pub fn claims(&self, sentence: &Sentence, rules: &Rules) -> bool {
        if rules.is_free() {
            return true;
        }
        let units = words::units(&sentence.text);
        let whole = |e: &Entity| words::is_whole(&units, e.span.start, e.span.end);
        let count = if self.grammar.layout == Layout::Inline {
            nested(sentence, &units).len()
        } else {
            sentence.entities.len()
        };
        let entities = || sentence.entities.iter();
        let in_text_order = self.format.entity_order == EntityOrder::Text || sentence.entities.len() < 2;
        let inline = self.grammar.layout == Layout::Inline;
        rules.iter().all(|rule| match rule {
            // Where words are free, a separator always ends them.
            Rule::Structure => entities().all(|e| {
                let surface = e.span.of(&sentence.text).unwrap_or_default();
                let holds_mark =
                    |words: &str| self.grammar.marks.iter().any(|m| !m.is_empty() && words.contains(m.as_str()));
                let listed = [Rule::Copy, Rule::Bigram, Rule::Span].into_iter().any(|rule| rules.contains(rule));
                (inline || listed || !holds_mark(surface)) && (rules.contains(Rule::Types) || !holds_mark(&e.kind))
            }),
            Rule::Types => entities().all(|e| self.schema.contains(&e.kind)),
            Rule::Copy | Rule::Bigram | Rule::WordBoundary => inline || entities().all(whole),
            Rule::Span if rules.contains(Rule::WordBoundary) || inline => true,
            Rule::Span => {
                let prompt = self.speller.tokenizer().encode(&sentence.text);
                let spans = SpanIndex::new(Chain::of_tokens(self.source(&sentence.text, &units, true), &prompt), None);
                entities().all(|e| spans.symbols_of(e.span).is_some())
            }
            Rule::Ordered => in_text_order || inline,
            Rule::NoOverlap => {
                let mut spans: Vec<_> = entities().map(|e| e.span).collect();
                spans.sort();
                let flat = spans.windows(2).all(|pair| !pair[0].overlaps(pair[1]));
                flat && (in_text_order || inline)
            }
            Rule::NoRepeat => {
                let mut all: Vec<&Entity> = entities().collect();
                all.sort();
                let differ = all.windows(2).all(|pair| pair[0] != pair[1]);
                let text = Text { text: sentence.text.as_str().into(), units: units.clone() };
                let alike = |e: &Entity| {
                    all.iter().filter(|o| o.kind == e.kind && sentence.surface(o) == sentence.surface(e)).count()
                };
                differ && (inline || all.iter().all(|e| alike(e) <= text.held(sentence.surface(e), false)))
            }
            Rule::MaxSpan => {
                let text = Text { text: sentence.text.as_str().into(), units: units.clone() };
                entities().all(|e| text.words(e.span.start as u32, e.span.end as u32) <= rules.max_span)
            }
            Rule::MaxEntities => count <= rules.max_entities as usize,
        })
    }

    /// Reads an answer, whatever it holds. `probabilities` has the (masked) probability of every token of `ids`; an
    /// entity's confidence is the product over its tokens.
    pub fn decode(&self, text: &str, ids: &[u32], probabilities: Option<&[f32]>) -> Parsed {
        let grammar = &*self.grammar;
        let end = ids.iter().position(|&id| id == grammar.eos);
        let ids = &ids[..end.unwrap_or(ids.len())];
        let (output, ends) = self.render(ids);
        let truncated = end.is_none();
        let reader = Reader { output: &output, text, grammar, kinds: &self.kinds, truncated };
        let (pieces, unparsable) = reader.read();
        let occurrence = match grammar.layout {
            Layout::Inline => Occurrence::InOrder,
            _ => self.format.occurrence,
        };
        let spans = parse::align(text, &pieces, occurrence);
        let confidence = |piece: &Piece| {
            let from = ends.partition_point(|&e| e <= piece.output.start);
            let to = ends.partition_point(|&e| e < piece.output.end);
            let tokens = probabilities?.get(from..=to.min(probabilities?.len().checked_sub(1)?))?;
            Some(tokens.iter().map(|&p| f64::from(p)).product())
        };
        let predictions = (pieces.iter().zip(spans))
            .map(|(piece, span)| Prediction {
                confidence: confidence(piece),
                kind: piece.kind.clone(),
                // Characters that the tokenizer can't write are read off the sentence.
                surface: (span.filter(|_| piece.surface.contains(UNKNOWN_TEXT)).and_then(|span| span.of(text)))
                    .unwrap_or(&piece.surface)
                    .to_owned(),
                span,
            })
            .collect();
        Parsed { output, predictions, unparsable, truncated }
    }

    /// The text of an answer, and where each token ends in it.
    fn render(&self, ids: &[u32]) -> (String, Vec<usize>) {
        let grammar = &*self.grammar;
        let tokenizer = self.speller.tokenizer();
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(ids.len());
        for &id in ids {
            match tokenizer.token_bytes(id) {
                [] => match (0..3).find(|&i| grammar.literals[i] == [id]) {
                    Some(which) => bytes.extend_from_slice(grammar.marks[which].as_bytes()),
                    None => bytes.extend_from_slice(UNKNOWN_TEXT.encode_utf8(&mut [0; 4]).as_bytes()),
                },
                spelling => bytes.extend_from_slice(spelling),
            }
            ends.push(bytes.len());
        }
        match String::from_utf8(bytes) {
            Ok(output) => (output, ends),
            Err(error) => {
                // A token may end within a character. Replacement characters shift what stands behind them.
                let mut output = String::new();
                let mut shifted = Vec::with_capacity(ends.len());
                let (mut at, mut next) = (0, ends.iter().peekable());
                for chunk in error.as_bytes().utf8_chunks() {
                    let begin = output.len();
                    output.push_str(chunk.valid());
                    let valid_end = at + chunk.valid().len();
                    while let Some(end) = next.next_if(|&&end| end <= valid_end) {
                        shifted.push(begin + (end - at));
                    }
                    at = valid_end + chunk.invalid().len();
                    if !chunk.invalid().is_empty() {
                        output.push(UNKNOWN_TEXT);
                    }
                    while next.next_if(|&&end| end <= at).is_some() {
                        shifted.push(output.len());
                    }
                }
                (output, shifted)
            }
        }
    }
}

/// The whole-word entities of a sentence that nest within each other, outer ones first; of two that cross, the first.
fn nested<'a>(sentence: &'a Sentence, units: &[Unit]) -> Vec<&'a Entity> {
    let mut entities: Vec<&Entity> =
        sentence.entities.iter().filter(|e| words::is_whole(units, e.span.start, e.span.end)).collect();
    entities.sort_by_key(|e| (e.span.start, std::cmp::Reverse(e.span.end), &e.kind));
    let mut kept: Vec<&Entity> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for entity in entities {
        open.retain(|&end| end > entity.span.start);
        if open.len() < Open::DEEPEST && open.last().is_none_or(|&end| entity.span.end <= end) {
            open.push(entity.span.end);
            kept.push(entity);
        }
    }
    kept
}

/// A line of its own, or nothing.
fn line(speller: &Speller, text: &str, combine: &[u32]) -> Vec<u32> {
    if text.is_empty() { Vec::new() } else { [&speller.tokenizer().encode(text), combine].concat() }
}
