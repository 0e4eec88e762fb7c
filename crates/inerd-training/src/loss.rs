//! Cross-entropy on the response tokens. The response positions are gathered before the output projection, so that
//! prompts cost no logits.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use inerd_lm::attention::Mask;
use inerd_lm::{Decoder, Input, LanguageModel, Noise};

use crate::example::{Example, Packed, lay_out};
use crate::settings::Loss;

/// A position that predicts a response token.
pub(crate) struct Target<'a> {
    /// Index into the flattened `[rows * width]` hidden states: the token *before* the target.
    pub(crate) position: usize,
    pub(crate) token: u32,
    pub(crate) allowed: Option<&'a [u32]>,
}

/// The summed cross-entropy (nats) of the response tokens of `examples`, and how many tokens were counted.
///
/// `None` where no position has an alternative to choose from: there is nothing to learn. The sum, not the mean, so
/// that micro-batches add up to exactly the batch's loss. `noise` is the source of dropout, in training only.
pub fn response_loss(
    decoder: &Decoder,
    examples: &[&Example],
    packed: &Packed,
    loss: Loss,
    noise: Option<Noise>,
    device: &Device,
) -> Option<(Tensor<1>, usize)> {
    let targets = targets(examples, packed, loss);
    if targets.is_empty() {
        return None;
    }
    let hidden = hidden(decoder, packed, noise, device);
    Some((cross_entropy(decoder, &hidden, &targets, device), targets.len()))
}

/// The hidden states of all positions, `[rows * width, embedding]`.
pub(crate) fn hidden(decoder: &Decoder, packed: &Packed, noise: Option<Noise>, device: &Device) -> Tensor<2> {
    let mask = Mask::segments(&packed.segments, packed.rows, packed.width, device);
    let input = Input::new(&packed.ids, &packed.positions, packed.rows, mask, device).with_noise(noise);
    let hidden = decoder.hidden(&input, None);
    let [rows, width, embedding] = hidden.dims();
    hidden.reshape([rows * width, embedding])
}

/// The summed cross-entropy of targets, each over its allowed tokens or, without such a list, over the vocabulary.
/// `hidden` is `[rows * width, embedding]`.
pub(crate) fn cross_entropy(
    decoder: &Decoder,
    hidden: &Tensor<2>,
    targets: &[Target<'_>],
    device: &Device,
) -> Tensor<1> {
    let parts = parts(
        hidden,
        targets,
        device,
        |at, targets| {
            let among: Vec<(u32, &[u32])> = targets.iter().map(|t| (t.token, t.allowed.unwrap_or_default())).collect();
            decoder.allowed_loss(at, &among)
        },
        |at, targets| {
            let tokens: Vec<u32> = targets.iter().map(|t| t.token).collect();
            decoder.vocabulary_loss(at, &tokens)
        },
    );
    parts.into_iter().reduce(|sum, part| sum + part).unwrap_or_else(|| Tensor::zeros([1], device))
}

/// The log-probabilities at targets, `[targets, tokens]`, over their allowed tokens or the vocabulary: in two parts where
/// some have such a list and some don't. `hidden` is `[rows * width, embedding]`.
pub(crate) fn distributions(
    decoder: &Decoder,
    hidden: &Tensor<2>,
    targets: &[Target<'_>],
    device: &Device,
) -> Vec<Tensor<2>> {
    let restricted = |at, targets: &[&Target<'_>]| {
        let allowed: Vec<&[u32]> = targets.iter().map(|t| t.allowed.unwrap_or_default()).collect();
        log_softmax(decoder.allowed_logits(at, &allowed), 1)
    };
    parts(hidden, targets, device, restricted, |at, _| log_softmax(decoder.logits(at), 1))
}

/// What the targets with a list of allowed tokens, and those without, give with their hidden states
/// `[targets, embedding]`; nothing for none.
fn parts<'a, T>(
    hidden: &Tensor<2>,
    targets: &[Target<'a>],
    device: &Device,
    restricted: impl Fn(Tensor<2>, &[&Target<'a>]) -> T,
    free: impl Fn(Tensor<2>, &[&Target<'a>]) -> T,
) -> Vec<T> {
    let at = |targets: &[&Target<'a>]| hidden.clone().select(0, index(targets.iter().map(|t| t.position), device));
    let (lists, none): (Vec<&Target<'a>>, Vec<&Target<'a>>) = targets.iter().partition(|t| t.allowed.is_some());
    let lists = (!lists.is_empty()).then(|| restricted(at(&lists), &lists));
    let none = (!none.is_empty()).then(|| free(at(&none), &none));
    lists.into_iter().chain(none).collect()
}

/// Mean cross-entropy (nats) per counted response token of a model that is not being trained; 0 without examples.
pub fn mean_loss(model: &LanguageModel, examples: &[Example], loss: Loss, device: &Device) -> f64 {
    let mut sorted: Vec<&Example> = examples.iter().collect();
    sorted.sort_by_key(|e| e.ids.len());
    let (mut sum, mut count) = (0.0, 0);
    for chunk in sorted.chunks(16) {
        let packed = lay_out(chunk, device);
        if let Some((loss, tokens)) = response_loss(&model.decoder, chunk, &packed, loss, None, device) {
            sum += f64::from(loss.into_scalar::<f32>());
            count += tokens;
        }
    }
    sum / count.max(1) as f64
}

pub(crate) fn targets<'a>(examples: &[&'a Example], packed: &Packed, loss: Loss) -> Vec<Target<'a>> {
    let mut targets = Vec::new();
    for (example, &start) in examples.iter().zip(&packed.starts) {
        for at in example.response..example.ids.len() {
            let allowed = match loss {
                Loss::Response => None,
                Loss::Allowed => example.allowed.as_ref().map(|a| a[at - example.response].as_slice()),
            };
            if allowed.is_none_or(|tokens| tokens.len() > 1) {
                targets.push(Target { position: start + at - 1, token: example.ids[at], allowed });
            }
        }
    }
    targets
}

pub(crate) fn index(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|v| v as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
