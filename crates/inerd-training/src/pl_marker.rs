//! Packed levitated markers (Ye et al. 2022, "Packed Levitated Marker for Entity and Relation Extraction", section 3) in
//! a decoder-only model.
//!
//! Every candidate span of a text gets a *pair* of markers. All pairs stand behind the text; a pair's start marker has
//! the position of the span's first token and its end marker that of the span's last one. Both see the whole text, each
//! other and themselves; the text and the other pairs don't see them. So the text's hidden states are what they are
//! without markers, pairs don't influence each other, and many are read in one pass.
//!
//! A span is classified through the model's own output matrix `W` (`[vocabulary, embedding]`), without a layer of its
//! own: with the hidden states `s` and `e` of its two markers, class `c` has the logit
//!
//! ```text
//! ½ (s + e) · mean of W[t] over the tokens t of the class's name
//! ```
//!
//! The name of "no entity" is end-of-sequence: what an answer holds where no entity follows. Types that training never
//! saw have names, too, and can be told apart as far as the model knows their words.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use inerd_lm::attention::{HIDDEN, Mask};
use inerd_lm::{Decoder, Input, LanguageModel, Noise, random};
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};

use crate::example::{Example, Packed, pack};
use crate::loss::index;

/// What markers look like, and the classes that spans are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markers {
    /// The tokens that stand for the start and the end marker. No text and no answer may hold them: their embeddings
    /// learn what a marker is.
    pub tokens: [u32; 2],
    /// The tokens of every class's name; class 0 is "no entity".
    pub classes: Vec<Vec<u32>>,
    /// Most pairs in one pass behind one text.
    pub pairs: usize,
}

/// Training with packed levitated markers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlMarker {
    pub markers: Markers,
    /// Weight of the span-classification loss beside the loss of the answers.
    pub weight: f64,
    /// Spans of class 0 per other span, drawn anew for every epoch (a sentence without entities counts as one with a
    /// single entity); all where it is absent.
    pub negatives: Option<f64>,
}

/// A candidate span: where its first and its last token stand in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub first: usize,
    pub last: usize,
}

/// A candidate with its gold class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labelled {
    pub candidate: Candidate,
    /// Index into [`Markers::classes`].
    pub class: usize,
}

/// A text with candidate spans.
#[derive(Debug, Clone)]
pub struct Marked<'a> {
    /// The tokens that the markers see: a prompt.
    pub text: &'a [u32],
    pub spans: Vec<Candidate>,
}

impl PlMarker {
    /// The spans of an example that are trained on in one epoch, in their order. A function of seed, epoch and the
    /// example's index, so that a resumed training draws the same ones.
    pub(crate) fn drawn(&self, spans: &[Labelled], seed: u64, epoch: usize, example: usize) -> Vec<Labelled> {
        let Some(ratio) = self.negatives else { return spans.to_vec() };
        let negatives: Vec<usize> = (0..spans.len()).filter(|&i| spans[i].class == 0).collect();
        let positives = spans.len() - negatives.len();
        let wanted = (ratio * positives.max(1) as f64).ceil() as usize;
        if wanted >= negatives.len() {
            return spans.to_vec();
        }
        let mut rng = random::stream(seed, &format!("negative spans of example {example} in epoch {epoch}"));
        let mut kept = vec![false; spans.len()];
        sample(&mut rng, negatives.len(), wanted).into_iter().for_each(|i| kept[negatives[i]] = true);
        let kept = spans.iter().zip(kept).filter(|(span, kept)| *kept || span.class != 0);
        kept.map(|(span, _)| *span).collect()
    }
}

/// Texts with their markers, laid out for one pass.
struct Layout {
    packed: Packed,
    /// Per text: its length and its number of pairs.
    shape: Vec<(usize, usize)>,
}

impl Layout {
    fn new(texts: &[Marked<'_>], markers: &Markers) -> Self {
        let sequences: Vec<Example> = texts
            .iter()
            .map(|marked| Example {
                ids: [marked.text, &markers.tokens.repeat(marked.spans.len())].concat(),
                ..Example::default()
            })
            .collect();
        let mut packed = pack(&sequences.iter().collect::<Vec<_>>());
        for (marked, &start) in texts.iter().zip(&packed.starts) {
            let places = marked.spans.iter().flat_map(|span| [span.first, span.last]);
            for (position, place) in packed.positions[start + marked.text.len()..].iter_mut().zip(places) {
                *position = place as u32;
            }
        }
        let shape = texts.iter().map(|marked| (marked.text.len(), marked.spans.len())).collect();
        Self { packed, shape }
    }

    /// What may see what: [`HIDDEN`] where not. `[rows, 1, width, width]`
    fn mask(&self, device: &Device) -> Mask {
        let Packed { rows, width, .. } = self.packed;
        let mut scores = vec![HIDDEN; rows * width * width];
        // Padding sees itself alone.
        (0..rows * width).for_each(|at| scores[at * width + at % width] = 0.0);
        for (&start, &(text, pairs)) in self.packed.starts.iter().zip(&self.shape) {
            let column = start % width;
            for query in 0..text + 2 * pairs {
                let line = &mut scores[(start + query) * width + column..];
                line[..text.min(query + 1)].fill(0.0);
                if let Some(marker) = query.checked_sub(text) {
                    let pair = text + marker / 2 * 2;
                    line[pair..pair + 2].fill(0.0);
                }
            }
        }
        Mask::Additive(Tensor::from_data(TensorData::new(scores, [rows, 1, width, width]), device))
    }

    /// Where the start markers stand in the flattened rows; each end marker stands behind its start marker.
    fn starts(&self) -> Vec<usize> {
        let texts = self.packed.starts.iter().zip(&self.shape);
        texts.flat_map(|(&start, &(text, pairs))| (0..pairs).map(move |pair| start + text + 2 * pair)).collect()
    }
}

/// Logits `[spans, classes]` of all spans of all texts, in their order, in one pass. `noise` is the source of dropout,
/// in training only.
pub fn span_logits(
    decoder: &Decoder,
    markers: &Markers,
    texts: &[Marked<'_>],
    noise: Option<Noise>,
    device: &Device,
) -> Tensor<2> {
    let layout = Layout::new(texts, markers);
    let Packed { rows, width, ids, positions, .. } = &layout.packed;
    let input = Input::new(ids, positions, *rows, layout.mask(device), device).with_noise(noise);
    let hidden = decoder.hidden(&input, None);
    let embedding = hidden.dims()[2];
    let hidden = hidden.reshape([rows * width, embedding]);
    let starts = layout.starts();
    let select = |offset: usize| hidden.clone().select(0, index(starts.iter().map(|at| at + offset), device));
    let spans = (select(0) + select(1)).mul_scalar(0.5);
    spans.matmul(class_rows(decoder, &markers.classes, device).transpose())
}

/// The mean output row of each class's name, `[classes, embedding]`.
fn class_rows(decoder: &Decoder, classes: &[Vec<u32>], device: &Device) -> Tensor<2> {
    let tokens: Vec<usize> = classes.iter().flatten().map(|&token| token as usize).collect();
    let mut mean = vec![0.0f32; classes.len() * tokens.len()];
    let mut column = 0;
    for (class, name) in classes.iter().enumerate() {
        mean[class * tokens.len() + column..][..name.len()].fill(1.0 / name.len() as f32);
        column += name.len();
    }
    let mean = Tensor::<2>::from_data(TensorData::new(mean, [classes.len(), tokens.len()]), device);
    mean.matmul(decoder.output_rows(index(tokens.into_iter(), device)))
}

/// Tokens, markers included, that are in the model at once, unless one pass alone has more. Attention takes memory with
/// the square of a pass's length, so that a batch of many sentences with all their spans would fill it.
pub(crate) const TOKENS: usize = 4096;

/// A text with so many of its spans as one pass holds, and what they are marked with (their classes).
#[derive(Debug, Clone)]
pub(crate) struct Pass<'a, T> {
    pub(crate) marked: Marked<'a>,
    pub(crate) labels: Vec<T>,
}

impl<'a, T: Clone> Pass<'a, T> {
    /// Cuts a list of spans so that no pass has more than `pairs` of them.
    fn cut(text: &'a [u32], spans: &[(Candidate, T)], pairs: usize) -> Vec<Self> {
        let pass = |spans: &[(Candidate, T)]| {
            let (spans, labels) = spans.iter().cloned().unzip();
            Self { marked: Marked { text, spans }, labels }
        };
        spans.chunks(pairs.max(1)).map(pass).collect()
    }

    /// Groups passes in their order into batches of at most `tokens` tokens (and of at least one pass).
    fn batches(passes: Vec<Self>, tokens: usize) -> Vec<Vec<Self>> {
        let mut batches: Vec<Vec<Self>> = Vec::new();
        let mut filled = usize::MAX;
        for pass in passes {
            let length = pass.marked.text.len() + 2 * pass.marked.spans.len();
            if filled.saturating_add(length) > tokens {
                batches.push(Vec::new());
                filled = 0;
            }
            filled += length;
            if let Some(batch) = batches.last_mut() {
                batch.push(pass);
            }
        }
        batches
    }
}

/// The drawn spans of some examples as batches of passes behind the examples' prompts.
pub(crate) fn training_passes<'a>(
    examples: &[(&'a Example, Vec<Labelled>)],
    pairs: usize,
    tokens: usize,
) -> Vec<Vec<Pass<'a, usize>>> {
    let passes = examples.iter().flat_map(|(example, spans)| {
        // Markers must not see the answer.
        let prompt = &example.ids[..example.response];
        let spans: Vec<(Candidate, usize)> = spans.iter().map(|s| (s.candidate, s.class)).collect();
        debug_assert!(spans.iter().all(|(span, _)| span.last < prompt.len()), "a span outside the prompt");
        Pass::cut(prompt, &spans, pairs)
    });
    Pass::batches(passes.collect(), tokens)
}

/// The probability of every class for every span of every text.
pub fn classify_spans(
    model: &LanguageModel,
    markers: &Markers,
    texts: &[Marked<'_>],
    device: &Device,
) -> Vec<Vec<Vec<f32>>> {
    let mut found: Vec<Vec<Vec<f32>>> = texts.iter().map(|marked| Vec::with_capacity(marked.spans.len())).collect();
    let passes = texts.iter().enumerate().flat_map(|(owner, marked)| {
        let spans: Vec<(Candidate, usize)> = marked.spans.iter().map(|&span| (span, owner)).collect();
        Pass::cut(marked.text, &spans, markers.pairs)
    });
    for batch in Pass::batches(passes.collect(), TOKENS) {
        let texts: Vec<Marked<'_>> = batch.iter().map(|pass| pass.marked.clone()).collect();
        let probabilities = softmax(span_logits(&model.decoder, markers, &texts, None, device), 1);
        let values: Vec<f32> = probabilities.into_data().iter::<f32>().collect();
        let owners = batch.iter().flat_map(|pass| &pass.labels);
        for (row, &owner) in values.chunks_exact(markers.classes.len()).zip(owners) {
            found[owner].push(row.to_vec());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What stands at a place of a row.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Owner {
        Padding,
        Text { text: usize, token: usize },
        Marker { text: usize, pair: usize },
    }

    /// The rule of Ye et al. 2022, figure 2, under a causal text.
    fn sees(query: Owner, key: Owner) -> bool {
        match (query, key) {
            (Owner::Text { text, token }, Owner::Text { text: other, token: earlier }) => {
                text == other && earlier <= token
            }
            (Owner::Marker { text, .. }, Owner::Text { text: other, .. }) => text == other,
            (Owner::Marker { text, pair }, Owner::Marker { text: other, pair: partner }) => {
                text == other && pair == partner
            }
            _ => false,
        }
    }

    fn markers(pairs: usize) -> Markers {
        Markers { tokens: [90, 91], classes: vec![vec![0], vec![5], vec![6, 7]], pairs }
    }

    proptest! {
        #[test]
        fn exactly_the_right_places_see_each_other(shape in prop::collection::vec((1usize..9, 0usize..5), 1..6)) {
            let ids: Vec<Vec<u32>> = shape.iter().map(|&(text, _)| (1..=text as u32).collect()).collect();
            let texts: Vec<Marked<'_>> = (ids.iter().zip(&shape))
                .map(|(ids, &(text, pairs))| {
                    let spans = (0..pairs).map(|pair| Candidate { first: pair % text, last: text - 1 }).collect();
                    Marked { text: ids, spans }
                })
                .collect();
            let layout = Layout::new(&texts, &markers(9));
            let (rows, width) = (layout.packed.rows, layout.packed.width);
            let mut owners = vec![Owner::Padding; rows * width];
            for (text, (&start, marked)) in layout.packed.starts.iter().zip(&texts).enumerate() {
                for token in 0..marked.text.len() {
                    owners[start + token] = Owner::Text { text, token };
                    prop_assert_eq!(layout.packed.ids[start + token], marked.text[token]);
                    prop_assert_eq!(layout.packed.positions[start + token], token as u32);
                }
                for (pair, span) in marked.spans.iter().enumerate() {
                    for (side, place) in [span.first, span.last].into_iter().enumerate() {
                        let at = start + marked.text.len() + 2 * pair + side;
                        owners[at] = Owner::Marker { text, pair };
                        prop_assert_eq!(layout.packed.ids[at], [90, 91][side]);
                        prop_assert_eq!(layout.packed.positions[at], place as u32, "not where the span's token is");
                    }
                }
            }
            let Mask::Additive(mask) = layout.mask(&Device::flex()) else { panic!("another mask") };
            prop_assert_eq!(mask.dims(), [rows, 1, width, width]);
            let scores: Vec<f32> = mask.into_data().iter::<f32>().collect();
            for query in 0..rows * width {
                for column in 0..width {
                    let key = query / width * width + column;
                    let seen = scores[query * width + column] == 0.0;
                    let itself = query == key;
                    prop_assert_eq!(seen, itself || sees(owners[query], owners[key]), "{:?} {:?}", owners[query], owners[key]);
                }
            }
        }
    }

    #[test]
    fn negatives_are_drawn_anew_for_every_epoch_and_all_entities_stay() {
        let span = |i: usize| Labelled { candidate: Candidate { first: i, last: i }, class: usize::from(i % 10 == 3) };
        let spans: Vec<Labelled> = (0..40).map(span).collect();
        let technique = |negatives| PlMarker { markers: markers(9), weight: 1.0, negatives };
        assert_eq!(technique(None).drawn(&spans, 1, 0, 0), spans);
        let draw = |ratio, epoch, example| technique(Some(ratio)).drawn(&spans, 1, epoch, example);
        let drawn = draw(2.0, 0, 0);
        assert_eq!(drawn.iter().filter(|s| s.class == 1).count(), 4, "entities are lost");
        assert_eq!(drawn.len(), 4 + 8);
        assert!(drawn.windows(2).all(|pair| pair[0].candidate.first < pair[1].candidate.first));
        assert_eq!(drawn, draw(2.0, 0, 0));
        assert_ne!(drawn, draw(2.0, 1, 0));
        assert_ne!(drawn, draw(2.0, 0, 1));
        assert_eq!(draw(100.0, 0, 0), spans);
        let without: Vec<Labelled> = spans.iter().filter(|s| s.class == 0).copied().collect();
        assert_eq!(technique(Some(1.5)).drawn(&without, 1, 0, 0).len(), 2, "a sentence without entities teaches, too");
    }

    #[test]
    fn long_lists_of_spans_become_several_passes_and_passes_become_batches() {
        let text = [1, 2, 3];
        let spans = |count: usize| -> Vec<(Candidate, usize)> {
            (0..count).map(|label| (Candidate { first: 0, last: 2 }, label)).collect()
        };
        let passes: Vec<Pass<'_, usize>> =
            [0, 5, 2].iter().flat_map(|&count| Pass::cut(&text, &spans(count), 2)).collect();
        let labels: Vec<&[usize]> = passes.iter().map(|pass| pass.labels.as_slice()).collect();
        assert_eq!(labels, [&[0, 1][..], &[2, 3], &[4], &[0, 1]]);
        // Seven tokens each, but five in the third.
        let sizes = |tokens| -> Vec<usize> { Pass::batches(passes.clone(), tokens).iter().map(Vec::len).collect() };
        assert_eq!(sizes(19), [3, 1]);
        assert_eq!(sizes(18), [2, 2]);
        assert_eq!(sizes(1), [1, 1, 1, 1]);
    }
}
