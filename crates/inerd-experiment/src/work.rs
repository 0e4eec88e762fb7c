//! How much there is to do in a stage: sentences and tokens, counted from the sizes of its inputs before anything runs.

use serde::{Deserialize, Serialize};

use crate::inputs::{Dataset, SplitSize, World};
use crate::settings::{Architecture, Model, ModelKind, PlMarker, Settings, Subset, TokenizerKind};

/// The amount of work of a stage. A prediction's input; never part of an identity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// Sentences read, or written, or scored.
    pub sentences: f64,
    /// Tokens trained on: forward and backward.
    pub trained: Range,
    /// Of these, tokens that a stage on a part of the data has been trained on already.
    pub reused: f64,
    /// Tokens read by the model without learning: prompts.
    pub prefilled: Range,
    /// Tokens written by the model.
    pub decoded: Range,
    /// The largest number of tokens that is in the model at once.
    pub tokens_at_once: f64,
    pub model: ModelSize,
    /// Forward and backward cost less: only adapters learn.
    pub adapters: bool,
    /// Models trained side by side.
    pub copies: f64,
    /// A size was unknown and was assumed.
    pub assumed: bool,
}

/// A number between two bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Range {
    pub fewest: f64,
    pub most: f64,
}

impl Range {
    pub fn exactly(number: f64) -> Self {
        Self { fewest: number, most: number }
    }

    pub fn middle(self) -> f64 {
        f64::midpoint(self.fewest, self.most)
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self { fewest: self.fewest * factor, most: self.most * factor }
    }

    pub(crate) fn times_range(self, other: Self) -> Self {
        Self { fewest: self.fewest * other.fewest, most: self.most * other.most }
    }

    pub(crate) fn less(self, number: f64) -> Self {
        Self { fewest: (self.fewest - number).max(0.0), most: (self.most - number).max(0.0) }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { fewest: self.fewest + other.fewest, most: self.most + other.most }
    }
}

/// The size of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSize {
    pub parameters: f64,
    pub layers: f64,
    pub width: f64,
    pub vocabulary: f64,
    pub context: f64,
}

/// Parameters of a model from scratch with tied embeddings, `V d + …` with `L` times the block's:
///
/// GPT-2 `C d + 2 d` and `12 d² + 13 d`; GPT-NeoX `2 d` and the same; Falcon `2 d` and `10 d² + 2 d (h + 1)`; Llama `d`
/// and `2 d² + 2 d k h + 3 d f + 2 d`, for heads of width `h`, `k` key-value heads, a feed-forward layer of width `f`.
pub fn scratch_parameters(model: &Model, vocabulary: usize) -> u64 {
    let (v, d, c, l) = (vocabulary as f64, model.width as f64, model.context as f64, model.layers as f64);
    let h = d / model.heads.max(1) as f64;
    let (rest, block) = match model.architecture {
        Architecture::Gpt2 => (c * d + 2.0 * d, 12.0 * d * d + 13.0 * d),
        Architecture::GptNeoX => (2.0 * d, 12.0 * d * d + 13.0 * d),
        Architecture::Falcon => (2.0 * d, 10.0 * d * d + 2.0 * d * (h + 1.0)),
        Architecture::Llama => {
            let k = model.kv_heads.unwrap_or(model.heads) as f64;
            let f = (8 * model.width).div_ceil(3).next_multiple_of(16) as f64;
            (d, 2.0 * d * d + 2.0 * d * k * h + 3.0 * d * f + 2.0 * d)
        }
    };
    (v * d + rest + l * block) as u64
}

/// Assumed where a dataset's size is unknown.
const ASSUMED: SplitSize = SplitSize { sentences: 3000, words: 60_000, entities: 4500 };
/// Words of an answer per entity: type name, separators, surface.
const WORDS_PER_ENTITY: f64 = 5.0;
/// Types of a dataset, where only a k-shot count is known.
const ASSUMED_TYPES: f64 = 8.0;

/// Sentences of one kind, and their lengths in tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sentences {
    pub(crate) count: f64,
    /// Words of a sentence.
    words: f64,
    /// Entities of a sentence.
    entities: f64,
    /// Tokens of a sentence.
    pub(crate) prompt: f64,
    /// Tokens of its gold answer.
    pub(crate) answer: f64,
    pub(crate) assumed: bool,
}

impl Sentences {
    pub(crate) fn tokens(self) -> f64 {
        self.prompt + self.answer
    }

    /// Tokens of a sentence's marker passes in training: the prompt again for every pass, and two for each span.
    pub(crate) fn trained_markers(self, markers: &PlMarker) -> f64 {
        let drawn = markers.negatives.map_or(f64::INFINITY, |ratio| self.entities + ratio * self.entities.max(1.0));
        self.markers(self.spans(markers).min(drawn), markers)
    }

    /// The same in decoding: only what was decoded is judged, unless spans are proposed.
    pub(crate) fn judged_markers(self, markers: &PlMarker) -> f64 {
        self.markers(if markers.propose { self.spans(markers) } else { self.entities }, markers)
    }

    /// Spans of at most so many words.
    fn spans(self, markers: &PlMarker) -> f64 {
        let longest = self.words.min(markers.max_span as f64);
        longest * self.words - longest * (longest - 1.0) / 2.0
    }

    fn markers(self, spans: f64, markers: &PlMarker) -> f64 {
        (spans / markers.pairs as f64).ceil() * self.prompt + 2.0 * spans
    }

    pub(crate) fn at_most(mut self, limit: Option<usize>) -> Self {
        self.count = limit.map_or(self.count, |limit| self.count.min(limit as f64));
        self
    }
}

/// Tokens per word falls slowly with the vocabulary: 1.9 at 2,000, 1.55 at 8,000, 1.25 at 50,000 (English text).
fn tokens_per_word(vocabulary: f64) -> f64 {
    (3.43 - 0.2016 * vocabulary.max(2.0).ln()).clamp(1.15, 3.0)
}

/// A split of some datasets, capped per dataset.
pub(crate) fn split<'d>(
    datasets: impl IntoIterator<Item = Option<&'d Dataset>>,
    part: impl Fn(&Dataset) -> SplitSize,
    cap: Option<usize>,
    vocabulary: f64,
) -> Sentences {
    let per_word = tokens_per_word(vocabulary);
    let (mut count, mut words, mut entities, mut assumed) = (0.0, 0.0, 0.0, false);
    for dataset in datasets {
        let known = dataset.map(&part).filter(|size| size.sentences > 0);
        let size = known.unwrap_or(ASSUMED);
        assumed |= known.is_none();
        let sentences = size.sentences as f64;
        let kept = cap.map_or(sentences, |cap| sentences.min(cap as f64));
        count += kept;
        words += size.words as f64 * kept / sentences;
        entities += size.entities as f64 * kept / sentences;
    }
    let each = |total: f64| if count > 0.0 { total / count } else { 0.0 };
    Sentences {
        count,
        words: each(words),
        entities: each(entities),
        prompt: each(words) * per_word + 1.0,
        answer: each(entities) * WORDS_PER_ENTITY * per_word + 1.0,
        assumed,
    }
}

pub(crate) fn subset(mut sentences: Sentences, subset: &Subset) -> Sentences {
    if let Some(shots) = subset.shots {
        sentences.count = sentences.count.min(shots as f64 * ASSUMED_TYPES);
        sentences.assumed = true;
    }
    sentences.count = (sentences.count * subset.fraction).max(1.0);
    sentences.at_most(subset.max_sentences)
}

pub(crate) fn model_size(settings: &Settings, world: &mut World<'_>) -> ModelSize {
    let model = &settings.model;
    match model.kind {
        ModelKind::Scratch => {
            let vocabulary = match settings.tokenizer.kind {
                TokenizerKind::Train => settings.tokenizer.vocabulary,
                TokenizerKind::Model | TokenizerKind::File => 50_257,
            };
            ModelSize {
                parameters: scratch_parameters(model, vocabulary) as f64,
                layers: model.layers as f64,
                width: model.width as f64,
                vocabulary: vocabulary as f64,
                context: model.context as f64,
            }
        }
        ModelKind::Pretrained => {
            world.model(model.path.as_deref().unwrap_or("")).map_or_else(ModelSize::default, |model| ModelSize {
                parameters: model.parameters as f64,
                layers: model.layers as f64,
                width: model.width as f64,
                vocabulary: model.vocabulary as f64,
                context: model.context as f64,
            })
        }
    }
}
