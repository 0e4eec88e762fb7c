//! Packed levitated markers in the stages: the spans that a training classifies, and what the classifier has to say about
//! the entities of an answer.

use std::collections::BTreeMap;

use inerd_decoding::{Alignment, Codec};
use inerd_experiment::PlMarker;
use inerd_lm::{LanguageModel, Tokenizer};
use inerd_text::{Generation, Prediction, Sentence, Span};
use inerd_training::{Candidate, Labelled, Marked, Markers, classify_spans};
use serde::{Deserialize, Serialize};

use super::answer::{heard_stop, prompt};
use crate::{Context, Error};

/// Bytes that no UTF-8 text holds. Vocabularies of bytes have tokens for them all the same: reserved rows of the
/// embedding, as the `[unused]` ones that Ye et al. take.
const NEVER_IN_TEXT: [u8; 13] = [0xc0, 0xc1, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];

/// Two tokens that can stand for the start and the end of a span.
pub(crate) fn marker_tokens(tokenizer: &Tokenizer) -> Result<[u32; 2], Error> {
    let mut found: Vec<(u8, u32)> = (0..tokenizer.vocab_size() as u32)
        .filter_map(|id| match tokenizer.token_bytes(id) {
            &[byte] if NEVER_IN_TEXT.contains(&byte) => Some((byte, id)),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    match found[..] {
        [(_, start), (_, end), ..] => Ok([start, end]),
        _ => Err(Error::Unsupported(
            "`pl_marker` needs two tokens that no text holds for its markers (such as those of the bytes C0 and C1), and \
             this tokenizer has none: take one with all 256 bytes"
                .to_owned(),
        )),
    }
}

/// Markers and classes for the types of a codec. A class is told by its name's tokens, "no entity" by end-of-sequence.
pub(crate) fn markers(tokenizer: &Tokenizer, codec: &Codec, settings: &PlMarker) -> Result<Markers, Error> {
    let nothing = vec![codec.tokenizer().eos()];
    let classes: Vec<Vec<u32>> = std::iter::once(nothing).chain(codec.type_names().iter().cloned()).collect();
    let mut bags: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
    for (class, name) in classes.iter().enumerate() {
        let mut bag = name.clone();
        bag.sort_unstable();
        if let Some(other) = bags.insert(bag, class) {
            let [one, two] = [other, class].map(|class| codec.schema().types()[class - 1].clone());
            return Err(Error::Unsupported(format!(
                "`pl_marker` tells types apart by the words of their names, and `{one}` and `{two}` have the same ones"
            )));
        }
    }
    Ok(Markers { tokens: marker_tokens(tokenizer)?, classes, pairs: settings.pairs })
}

/// Every candidate span of a sentence with its class, and how many gold entities are none: longer than the longest
/// span, inside a word, or of a type outside the schema. `prompt` is the sentence's.
pub(crate) fn labelled(
    codec: &Codec,
    sentence: &Sentence,
    prompt: &[u32],
    settings: &PlMarker,
) -> (Vec<Labelled>, usize) {
    let alignment = codec.align(&sentence.text, prompt);
    let mut gold: BTreeMap<Span, Option<usize>> = BTreeMap::new();
    for entity in &sentence.entities {
        // A span of several types is learnt as the first of them.
        gold.entry(entity.span).or_insert_with(|| codec.schema().id(&entity.kind));
    }
    let mut met = 0;
    let spans = alignment.spans(settings.max_span).filter_map(|span| {
        let class = match gold.get(&span) {
            Some(kind) => 1 + (*kind)?,
            None => 0,
        };
        let candidate = candidate(&alignment, span)?;
        met += usize::from(class > 0);
        Some(Labelled { candidate, class })
    });
    let spans = spans.collect();
    (spans, gold.len() - met)
}

fn candidate(alignment: &Alignment, span: Span) -> Option<Candidate> {
    alignment.tokens(span).map(|(first, last)| Candidate { first, last })
}

/// The span classifier as a judge of answers.
pub(crate) struct Judge<'a> {
    pub(crate) model: &'a LanguageModel,
    pub(crate) codec: &'a Codec,
    pub(crate) markers: Markers,
    pub(crate) settings: &'a PlMarker,
    /// Each prompt begins with the name of the sentence's corpus.
    pub(crate) cued: bool,
}

/// What the classifier said about the spans of one sentence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// The sentence's id.
    pub id: String,
    /// Of the decoded entities that are candidates, in the order written, and of what was proposed.
    pub verdicts: Vec<Verdict>,
}

/// What the classifier said about one span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// In bytes.
    pub span: Span,
    /// The type in the answer; `None` for a span that was proposed.
    pub decoded: Option<String>,
    /// The type that the classifier prefers.
    pub preferred: String,
    /// The probability of that type.
    pub probability: f64,
    /// The probability that the span is no entity.
    pub none: f64,
    pub action: Action,
}

/// What became of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Kept,
    Vetoed,
    Retyped,
    Proposed,
}

/// The classifier's distribution over one span.
#[derive(Debug, Clone, Copy)]
struct Opinion {
    none: f64,
    /// The most probable type and its probability.
    preferred: usize,
    probability: f64,
}

impl Opinion {
    /// `None` where there is no type to prefer.
    fn new(probabilities: &[f32]) -> Option<Self> {
        let types = probabilities.iter().enumerate().skip(1);
        // Of equal ones the first.
        let (best, probability) = types.fold(None, |best: Option<(usize, f32)>, (class, &p)| match best {
            Some((_, top)) if p <= top => best,
            _ => Some((class, p)),
        })?;
        let none = f64::from(probabilities[0]);
        Some(Self { none, preferred: best - 1, probability: f64::from(probability) })
    }
}

/// Sentences whose spans are classified between two looks at a request to stop.
const CHUNK: usize = 64;

impl Judge<'_> {
    /// Vetoes, retypes and proposes entities in the answers to `sentences`, as the settings say. Entities that are no
    /// candidates (longer than `max_span`, inside a word, not in the text) stay as they are.
    pub(crate) fn judge(
        &self,
        sentences: &[Sentence],
        generations: &mut [Generation],
        context: &Context,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Verdicts>, Error> {
        let mut verdicts = Vec::with_capacity(sentences.len());
        for (sentences, generations) in sentences.chunks(CHUNK).zip(generations.chunks_mut(CHUNK)) {
            heard_stop(context)?;
            let prompts: Vec<Vec<u32>> = sentences.iter().map(|s| prompt(self.codec, s, self.cued)).collect();
            let candidates: Vec<Vec<(Span, Candidate)>> = (sentences.iter().zip(&prompts).zip(&*generations))
                .map(|((sentence, prompt), generation)| self.candidates(sentence, prompt, generation))
                .collect();
            let texts: Vec<Marked<'_>> = (prompts.iter().zip(&candidates))
                .map(|(text, spans)| Marked { text, spans: spans.iter().map(|(_, candidate)| *candidate).collect() })
                .collect();
            let classified = classify_spans(self.model, &self.markers, &texts, &context.device);
            for (((sentence, generation), spans), found) in
                sentences.iter().zip(generations).zip(&candidates).zip(classified)
            {
                let opinions: BTreeMap<Span, Opinion> = (spans.iter().zip(&found))
                    .filter_map(|((span, _), probabilities)| Some((*span, Opinion::new(probabilities)?)))
                    .collect();
                let id = sentence.id.clone();
                verdicts.push(Verdicts { id, verdicts: self.decide(&sentence.text, generation, &opinions) });
            }
            progress(verdicts.len());
        }
        Ok(verdicts)
    }

    /// The spans that must be classified: the decoded ones or, where more may be proposed, all.
    fn candidates(&self, sentence: &Sentence, prompt: &[u32], generation: &Generation) -> Vec<(Span, Candidate)> {
        let alignment = self.codec.align(&sentence.text, prompt);
        let longest = self.settings.max_span;
        let spans: Vec<Span> = if self.settings.propose {
            alignment.spans(longest).collect()
        } else {
            let mut decoded: Vec<Span> = generation.predictions.iter().filter_map(|p| p.span).collect();
            decoded.retain(|&span| alignment.holds(span, longest));
            decoded.sort_unstable();
            decoded.dedup();
            decoded
        };
        spans.into_iter().filter_map(|span| Some((span, candidate(&alignment, span)?))).collect()
    }

    fn decide(&self, text: &str, generation: &mut Generation, opinions: &BTreeMap<Span, Opinion>) -> Vec<Verdict> {
        let PlMarker { veto, rescore, propose, threshold, .. } = *self.settings;
        let types = self.codec.schema().types();
        let verdict = |span: Span, decoded: Option<&str>, opinion: &Opinion, action: Action| Verdict {
            span,
            decoded: decoded.map(str::to_owned),
            preferred: types[opinion.preferred].clone(),
            probability: opinion.probability,
            none: opinion.none,
            action,
        };
        let mut verdicts = Vec::new();
        generation.predictions.retain_mut(|prediction| {
            let Some((span, opinion)) = prediction.span.and_then(|span| Some((span, opinions.get(&span)?))) else {
                return true;
            };
            let preferred = &types[opinion.preferred];
            let surer = opinion.probability > prediction.confidence.unwrap_or(0.0);
            let action = if veto && opinion.none >= threshold {
                Action::Vetoed
            } else if rescore && surer && *preferred != prediction.kind {
                Action::Retyped
            } else {
                Action::Kept
            };
            verdicts.push(verdict(span, Some(&prediction.kind), opinion, action));
            if action == Action::Retyped {
                prediction.kind.clone_from(preferred);
                prediction.confidence = Some(opinion.probability);
            }
            action != Action::Vetoed
        });
        if propose {
            let mut sure: Vec<(Span, &Opinion)> = (opinions.iter())
                .filter(|(_, opinion)| opinion.probability >= threshold && opinion.probability > opinion.none)
                .map(|(span, opinion)| (*span, opinion))
                .collect();
            // The surest first, of equally sure ones the leftmost.
            sure.sort_by(|(_, a), (_, b)| b.probability.total_cmp(&a.probability));
            for (span, opinion) in sure {
                let taken = generation.predictions.iter().filter_map(|p| p.span).any(|taken| taken.overlaps(span));
                let Some(surface) = span.of(text).filter(|_| !taken) else { continue };
                verdicts.push(verdict(span, None, opinion, Action::Proposed));
                generation.predictions.push(Prediction {
                    kind: types[opinion.preferred].clone(),
                    surface: surface.to_owned(),
                    span: Some(span),
                    confidence: Some(opinion.probability),
                });
            }
        }
        verdicts
    }
}
