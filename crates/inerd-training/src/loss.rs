//! Cross-entropy on the response tokens. The response positions are gathered before the output projection, so that
//! prompts cost no logits.

use burn::tensor::{Device, Int, Tensor, TensorData};
use inerd_lm::attention::Mask;
use inerd_lm::{Decoder, Input, LanguageModel, Noise};

use crate::example::{Example, Packed, lay_out};
use crate::settings::Loss;

/// A position that predicts a response token.
struct Target<'a> {
    /// Index into the flattened `[rows * width]` hidden states: the token *before* the target.
    position: usize,
    token: u32,
    allowed: Option<&'a [u32]>,
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
    let mask = Mask::segments(&packed.segments, packed.rows, packed.width, device);
    let input = Input::new(&packed.ids, &packed.positions, packed.rows, mask, device).with_noise(noise);
    let hidden = decoder.hidden(&input, None);
    let [rows, width, embedding] = hidden.dims();
    let hidden = hidden.reshape([rows * width, embedding]);
    Some((cross_entropy(decoder, hidden, &targets, device), targets.len()))
}

/// The summed cross-entropy of targets, each over its allowed tokens or, without such a list, over the vocabulary.
/// `hidden` is `[rows * width, embedding]`.
fn cross_entropy(decoder: &Decoder, hidden: Tensor<2>, targets: &[Target<'_>], device: &Device) -> Tensor<1> {
    let at = |positions: &[usize]| hidden.clone().select(0, index(positions.iter().copied(), device));
    let (restricted, free): (Vec<&Target<'_>>, Vec<&Target<'_>>) = targets.iter().partition(|t| t.allowed.is_some());
    let positions = |targets: &[&Target<'_>]| targets.iter().map(|t| t.position).collect::<Vec<_>>();
    let restricted = (!restricted.is_empty()).then(|| {
        let among: Vec<(u32, &[u32])> = restricted.iter().map(|t| (t.token, t.allowed.unwrap_or_default())).collect();
        decoder.allowed_loss(at(&positions(&restricted)), &among)
    });
    let free = (!free.is_empty()).then(|| {
        let tokens: Vec<u32> = free.iter().map(|t| t.token).collect();
        decoder.vocabulary_loss(at(&positions(&free)), &tokens)
    });
    match (restricted, free) {
        (Some(restricted), Some(free)) => restricted + free,
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => Tensor::zeros([1], device),
    }
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

fn targets<'a>(examples: &[&'a Example], packed: &Packed, loss: Loss) -> Vec<Target<'a>> {
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

fn index(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|v| v as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
