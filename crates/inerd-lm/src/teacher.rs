//! What a model would have written, at every position of an answer that is given.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::attention::Mask;
use crate::{Error, Input, LanguageModel};

/// A prompt with a given answer.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub prompt: &'a [u32],
    pub answer: &'a [u32],
}

/// Rows of logits that are computed at a time: the whole vocabulary for many positions would fill the memory.
const POSITIONS: usize = 256;

/// The model's probabilities over the whole vocabulary before each token of each answer, in one pass per batch and
/// without a cache (teacher forcing). `visit` gets the sequence's index, the position in its answer, and the
/// probabilities `[vocabulary]`; each sequence's positions come in order.
pub fn given_answers(
    model: &LanguageModel,
    sequences: &[Given<'_>],
    batch: usize,
    device: &Device,
    visit: &mut dyn FnMut(usize, usize, &[f32]),
) -> Result<(), Error> {
    let context = model.config.context();
    let length = |s: &Given<'_>| s.prompt.len() + s.answer.len().saturating_sub(1);
    if let Some(longest) = sequences.iter().map(length).find(|&length| length > context) {
        return Err(Error::TooLong { length: longest, context });
    }
    // Like lengths together: little padding.
    let mut order: Vec<usize> = (0..sequences.len()).filter(|&i| !sequences[i].answer.is_empty()).collect();
    order.sort_by_key(|&i| length(&sequences[i]));
    for rows in order.chunks(batch.max(1)) {
        let width = rows.iter().map(|&i| length(&sequences[i])).max().unwrap_or(0);
        let mut ids = vec![0u32; rows.len() * width];
        let mut wanted = Vec::new();
        for (r, &i) in rows.iter().enumerate() {
            let Given { prompt, answer } = sequences[i];
            // The last token of an answer predicts nothing. Padding stands behind, where causal attention hides it.
            for (slot, &id) in ids[r * width..].iter_mut().zip(prompt.iter().chain(&answer[..answer.len() - 1])) {
                *slot = id;
            }
            wanted.extend((0..answer.len()).map(|at| (i, at, r * width + prompt.len() - 1 + at)));
        }
        let positions: Vec<u32> = (0..ids.len()).map(|p| (p % width) as u32).collect();
        let input = Input::new(&ids, &positions, rows.len(), Mask::Causal, device);
        let hidden = model.decoder.hidden(&input, None);
        let embedding = hidden.dims()[2];
        let hidden = hidden.reshape([rows.len() * width, embedding]);
        for wanted in wanted.chunks(POSITIONS) {
            let index: Vec<i32> = wanted.iter().map(|&(_, _, at)| at as i32).collect();
            let index = Tensor::<1, Int>::from_data(TensorData::new(index, [wanted.len()]), device);
            let probabilities = softmax(model.decoder.logits(hidden.clone().select(0, index)), 1);
            let vocabulary = probabilities.dims()[1];
            let values: Vec<f32> = probabilities.into_data().iter::<f32>().collect();
            for (&(sequence, at, _), row) in wanted.iter().zip(values.chunks_exact(vocabulary)) {
                visit(sequence, at, row);
            }
        }
    }
    Ok(())
}
