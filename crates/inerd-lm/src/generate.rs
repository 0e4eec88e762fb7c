//! Greedy generation of a batch, each row under its own constraint.
//!
//! A masked step computes the logits of the allowed rows of the output matrix only, and tokens that have no
//! alternative cost no forward pass: they ride along with the next free one.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::reader::Reader;
use crate::{Error, LanguageModel};

/// Tokens that may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed<'a> {
    Any,
    /// These and no others. Sorted, without repeats.
    Only(&'a [u32]),
    /// All but these. Sorted, without repeats.
    Except(&'a [u32]),
}

/// What decides which token may follow; advanced with every token of the answer.
pub trait Constraint: Send {
    fn allowed(&mut self) -> Allowed<'_>;
    /// Appends the run of tokens that have no alternative from here on; may append none.
    fn forced(&mut self, run: &mut Vec<u32>);
    fn advance(&mut self, token: u32);

    /// Whether this constraint must see the most probable of *all* tokens at every step, which costs all logits.
    fn watches_free_choice(&self) -> bool {
        false
    }

    /// Whether everything is allowed after all, because `token` is the most probable of all tokens.
    fn gives_way_to(&self, token: u32) -> bool {
        let _ = token;
        false
    }
}

/// No constraint: every token is allowed at every step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Free;

impl Constraint for Free {
    fn allowed(&mut self) -> Allowed<'_> {
        Allowed::Any
    }
    fn forced(&mut self, _: &mut Vec<u32>) {}
    fn advance(&mut self, _: u32) {}
}

/// One prompt and what may be answered.
pub struct Request {
    pub prompt: Vec<u32>,
    pub constraint: Box<dyn Constraint>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("prompt", &self.prompt).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Rows decoded together.
    pub batch: usize,
    /// Longest answer in tokens, end-of-sequence included.
    pub max_new_tokens: usize,
    pub end_of_sequence: u32,
}

/// One generated answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// End-of-sequence included, where it was reached.
    pub ids: Vec<u32>,
    /// Probability of each token among the allowed ones; 1 where there was no alternative.
    pub probabilities: Vec<f32>,
    /// The limit (or the model's context) was reached before end-of-sequence.
    pub truncated: bool,
}

/// Answers every request, in the order given. `progress` hears how many are done.
pub fn generate(
    model: &LanguageModel,
    requests: Vec<Request>,
    settings: Settings,
    device: &Device,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Output>, Error> {
    let context = model.config.context();
    if let Some(request) = requests.iter().find(|r| r.prompt.len() >= context) {
        return Err(Error::TooLong { length: request.prompt.len(), context });
    }
    let mut outputs: Vec<Output> = requests.iter().map(|_| Output::default()).collect();
    // Prompts of like length share a batch, so that little of it is padding.
    let mut order: Vec<(usize, Request)> = requests.into_iter().enumerate().collect();
    order.sort_by_key(|(index, request)| (request.prompt.len(), *index));
    let mut done = 0;
    while !order.is_empty() {
        let rest = order.split_off(settings.batch.max(1).min(order.len()));
        let batch = std::mem::replace(&mut order, rest);
        done += batch.len();
        for (index, output) in Batch::new(model, batch, settings, device).run()? {
            outputs[index] = output;
        }
        progress(done);
    }
    Ok(outputs)
}

/// Rows that are decoded together.
struct Batch<'a> {
    settings: Settings,
    reader: Reader<'a>,
    rows: Vec<Row>,
    finished: Vec<(usize, Output)>,
}

struct Row {
    index: usize,
    constraint: Box<dyn Constraint>,
    output: Output,
    /// Tokens that the model hasn't read yet: the prompt at first, then the last free token and what it forces.
    pending: Vec<u32>,
}

impl<'a> Batch<'a> {
    fn new(model: &'a LanguageModel, batch: Vec<(usize, Request)>, settings: Settings, device: &'a Device) -> Self {
        let longest = batch.iter().map(|(_, r)| r.prompt.len()).max().unwrap_or(0);
        let capacity = longest + settings.max_new_tokens.min(64);
        let reader = Reader::new(model, batch.len(), capacity, device);
        let rows = batch
            .into_iter()
            .map(|(index, Request { prompt, constraint })| Row {
                index,
                constraint,
                output: Output::default(),
                pending: prompt,
            })
            .collect();
        Self { settings, reader, rows, finished: Vec::new() }
    }

    fn run(mut self) -> Result<Vec<(usize, Output)>, Error> {
        // What is forced from the start rides with the prompt; a row may even be done before its first step.
        self.rows.iter_mut().for_each(Row::take_forced);
        self.retire();
        while !self.rows.is_empty() {
            let pending: Vec<Vec<u32>> = self.rows.iter_mut().map(|row| std::mem::take(&mut row.pending)).collect();
            let hidden = self.reader.read(&pending);
            self.choose(hidden)?;
            self.retire();
        }
        Ok(self.finished)
    }

    /// Picks the next token of every row among those allowed.
    fn choose(&mut self, hidden: Tensor<2>) -> Result<(), Error> {
        // Where any row is free, all logits are needed; else only the rows of the output matrix that some row allows.
        let mut columns = BTreeMap::new();
        let mut all = false;
        for row in &mut self.rows {
            all |= row.constraint.watches_free_choice();
            match row.constraint.allowed() {
                Allowed::Any | Allowed::Except(_) => all = true,
                Allowed::Only([]) => return Err(Error::Stuck { after: row.output.ids.len() }),
                Allowed::Only(tokens) => columns.extend(tokens.iter().map(|&t| (t, 0))),
            }
        }
        let logits = if all {
            self.reader.model.decoder.logits(hidden)
        } else {
            for (column, slot) in columns.values_mut().enumerate() {
                *slot = column;
            }
            let index: Vec<i32> = columns.keys().map(|&t| t as i32).collect();
            let index = Tensor::<1, Int>::from_data(TensorData::new(index, [columns.len()]), self.reader.device);
            hidden.matmul(self.reader.model.decoder.output().select(0, index).transpose())
        };
        let [_, width] = logits.dims();
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let end = self.settings.end_of_sequence;
        for (row, logits) in self.rows.iter_mut().zip(logits.chunks_exact(width)) {
            let free = if row.constraint.watches_free_choice() {
                Some(best(logits.iter().copied().zip(0..))).filter(|&(token, _)| row.constraint.gives_way_to(token))
            } else {
                None
            };
            let (token, probability) = match row.constraint.allowed() {
                _ if free.is_some() => free.unwrap_or_default(),
                Allowed::Any => best(logits.iter().copied().zip(0..)),
                Allowed::Except(tokens) => {
                    best(logits.iter().copied().zip(0..).filter(|(_, t)| tokens.binary_search(t).is_err()))
                }
                Allowed::Only(tokens) if all => best(tokens.iter().map(|&t| (logits[t as usize], t))),
                Allowed::Only(tokens) => best(tokens.iter().map(|t| (logits[columns[t]], *t))),
            };
            row.push(token, probability);
            if token != end {
                row.take_forced();
            }
        }
        Ok(())
    }

    /// Moves finished rows out of the batch.
    fn retire(&mut self) {
        let Settings { max_new_tokens, end_of_sequence, .. } = self.settings;
        let context = self.reader.model.config.context();
        let mut kept = Vec::new();
        let mut survivors = Vec::new();
        for (position, mut row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            if let Some(end) = row.output.ids.iter().position(|&t| t == end_of_sequence) {
                row.output.ids.truncate(end + 1);
                row.output.probabilities.truncate(end + 1);
            } else if row.output.ids.len() >= max_new_tokens
                || self.reader.length(position) + row.pending.len() > context
            {
                row.output.ids.truncate(max_new_tokens);
                row.output.probabilities.truncate(max_new_tokens);
                row.output.truncated = true;
            } else {
                kept.push(position);
                survivors.push(row);
                continue;
            }
            self.finished.push((row.index, row.output));
        }
        self.reader.keep(&kept);
        self.rows = survivors;
    }
}

impl Row {
    fn push(&mut self, token: u32, probability: f32) {
        self.output.ids.push(token);
        self.output.probabilities.push(probability);
        self.pending.push(token);
        self.constraint.advance(token);
    }

    fn take_forced(&mut self) {
        let mut run = Vec::new();
        self.constraint.forced(&mut run);
        for token in run {
            self.push(token, 1.0);
        }
    }
}

/// The most probable candidate and its probability among them; the first of equals.
fn best(candidates: impl Iterator<Item = (f32, u32)> + Clone) -> (u32, f32) {
    let (mut top, mut token) = (f32::NEG_INFINITY, 0);
    for (logit, candidate) in candidates.clone() {
        if logit > top {
            (top, token) = (logit, candidate);
        }
    }
    let total: f64 = candidates.map(|(logit, _)| f64::from(logit - top).exp()).sum();
    (token, (1.0 / total) as f32)
}
