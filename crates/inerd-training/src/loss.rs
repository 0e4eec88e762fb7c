//! Cross-entropy on the response tokens. The response positions are gathered before the output projection, so that
//! prompts cost no logits.

use std::collections::BTreeMap;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use inerd_lm::attention::{HIDDEN, Mask};
use inerd_lm::{Decoder, Input, LanguageModel, Noise};

use crate::example::{Example, Packed, pack};
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
    let mask = Mask::segments(&packed.segments, packed.rows, packed.width, device);
    let input = Input::new(&packed.ids, &packed.positions, packed.rows, mask, device).with_noise(noise);
    let hidden = decoder.hidden(&input, None);
    let [rows, width, embedding] = hidden.dims();
    let positions = index(targets.iter().map(|t| t.position), device);
    let hidden = hidden.reshape([rows * width, embedding]).select(0, positions);

    let (logits, columns) = match loss {
        Loss::Response => (decoder.logits(hidden), targets.iter().map(|t| t.token as usize).collect::<Vec<_>>()),
        Loss::Allowed => allowed_logits(decoder, hidden, &targets, device),
    };
    let columns = index(columns.into_iter(), device).unsqueeze_dim(1);
    let log_likelihood = log_softmax(logits, 1).gather(1, columns).sum();
    Some((log_likelihood.neg(), targets.len()))
}

/// Mean cross-entropy (nats) per counted response token of a model that is not being trained; 0 without examples.
pub fn mean_loss(model: &LanguageModel, examples: &[Example], loss: Loss, device: &Device) -> f64 {
    let mut sorted: Vec<&Example> = examples.iter().collect();
    sorted.sort_by_key(|e| e.ids.len());
    let (mut sum, mut count) = (0.0, 0);
    for chunk in sorted.chunks(16) {
        if let Some((loss, tokens)) = response_loss(&model.decoder, chunk, &pack(chunk), loss, None, device) {
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

/// Logits `[targets, union]` over the union of all allowed tokens, hidden where a target doesn't allow the column;
/// and each target's column. Only those rows of the output matrix are read.
pub(crate) fn allowed_logits(
    decoder: &Decoder,
    hidden: Tensor<2>,
    targets: &[Target<'_>],
    device: &Device,
) -> (Tensor<2>, Vec<usize>) {
    let mut union: BTreeMap<u32, usize> = BTreeMap::new();
    for target in targets {
        union.extend(target.allowed.unwrap_or(&[]).iter().map(|&t| (t, 0)));
        union.insert(target.token, 0);
    }
    for (column, slot) in union.values_mut().enumerate() {
        *slot = column;
    }
    let width = union.len();
    let mut scores = vec![HIDDEN; targets.len() * width];
    for (target, scores) in targets.iter().zip(scores.chunks_exact_mut(width)) {
        match target.allowed {
            Some(tokens) => tokens.iter().for_each(|t| scores[union[t]] = 0.0),
            None => scores.fill(0.0),
        }
        // Gold answers are allowed by construction; should a rule forbid one, the loss stays finite.
        scores[union[&target.token]] = 0.0;
    }
    let columns = targets.iter().map(|t| union[&t.token]).collect();
    let rows = decoder.output_rows(index(union.keys().map(|&t| t as usize), device));
    let mask = Tensor::<2>::from_data(TensorData::new(scores, [targets.len(), width]), device);
    (hidden.matmul(rows.transpose()) + mask, columns)
}

pub(crate) fn index(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|v| v as i32).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}
