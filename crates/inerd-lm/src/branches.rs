//! One prompt that goes on in several ways at once, for searches that are run elsewhere.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::reader::Reader;
use crate::{Error, LanguageModel};

/// One way to go on.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    /// The branch of the call before that this one continues; 0 in the first call, where there is but the prompt.
    pub parent: usize,
    /// What follows it: at least one token, except in the first call.
    pub tokens: &'a [u32],
    /// The tokens whose logits are wanted, sorted; `None` for the whole vocabulary.
    pub wanted: Option<&'a [u32]>,
}

/// The branches of one prompt. They share its cache entries, which are read once.
#[derive(Debug)]
pub struct Branches<'a> {
    reader: Reader<'a>,
    /// The prompt, until it is read.
    prompt: Vec<u32>,
}

impl<'a> Branches<'a> {
    pub fn new(model: &'a LanguageModel, prompt: Vec<u32>, device: &'a Device) -> Self {
        Self { reader: Reader::new(model, 1, prompt.len() + 64, device), prompt }
    }

    /// The logits behind each branch: one per wanted token, or one per token of the vocabulary.
    ///
    /// An error where a branch would leave the model's context.
    pub fn extend(&mut self, branches: &[Branch<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        let parents: Vec<usize> = branches.iter().map(|b| b.parent).collect();
        self.reader.keep(&parents);
        let pending: Vec<Vec<u32>> = branches.iter().map(|b| [&self.prompt, b.tokens].concat()).collect();
        let context = self.reader.model.config.context();
        let longest = pending.iter().enumerate().map(|(row, p)| self.reader.length(row) + p.len()).max().unwrap_or(0);
        if longest > context {
            return Err(Error::TooLong { length: longest, context });
        }
        self.prompt.clear();
        let hidden = self.reader.read(&pending);
        let decoder = &self.reader.model.decoder;
        if branches.iter().any(|b| b.wanted.is_none()) {
            let logits = rows(decoder.logits(hidden));
            let wanted = |(branch, row): (&Branch<'_>, Vec<f32>)| match branch.wanted {
                Some(tokens) => tokens.iter().map(|&t| row[t as usize]).collect(),
                None => row,
            };
            return Ok(branches.iter().zip(logits).map(wanted).collect());
        }
        let mut columns: BTreeMap<u32, usize> =
            branches.iter().flat_map(|b| b.wanted.unwrap_or_default()).map(|&t| (t, 0)).collect();
        for (column, slot) in columns.values_mut().enumerate() {
            *slot = column;
        }
        let index: Vec<i32> = columns.keys().map(|&t| t as i32).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [columns.len()]), self.reader.device);
        let logits = rows(hidden.matmul(decoder.output_rows(index).transpose()));
        let wanted = |(branch, row): (&Branch<'_>, Vec<f32>)| {
            branch.wanted.unwrap_or_default().iter().map(|t| row[columns[t]]).collect()
        };
        Ok(branches.iter().zip(logits).map(wanted).collect())
    }
}

fn rows(logits: Tensor<2>) -> Vec<Vec<f32>> {
    let width = logits.dims()[1];
    let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
    values.chunks_exact(width).map(<[f32]>::to_vec).collect()
}
