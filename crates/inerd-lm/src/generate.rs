//! Generation in batches, each row under its own constraint.
//!
//! A masked step computes the logits of the allowed rows of the output matrix only, and tokens that have no
//! alternative cost no forward pass: they ride along with the next free one. Finished rows leave the batch and waiting
//! ones enter; requests with equal prompts share one reading of it.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::reader::Reader;
use crate::{Error, LanguageModel, random};

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
    /// A limit of this answer's own, below the common one.
    pub max_new_tokens: Option<usize>,
    /// Draw each token instead of taking the most probable one.
    pub sampling: Option<Sampling>,
}

impl Request {
    /// Greedy, up to the common limit.
    pub fn new(prompt: Vec<u32>, constraint: Box<dyn Constraint>) -> Self {
        Self { prompt, constraint, max_new_tokens: None, sampling: None }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("prompt", &self.prompt).finish_non_exhaustive()
    }
}

/// Tokens are drawn from the allowed ones, in proportion to `exp(logit / temperature)`.
///
/// The draws depend on the seed alone and not on which requests share a batch: give each request a seed of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Zero takes the most probable token.
    pub temperature: f64,
    pub seed: u64,
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
    /// Probability of each token among the allowed ones (at temperature 1); 1 where there was no alternative.
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
    // Prompts of like length are read together, so that little of it is padding; equal ones are read once.
    let mut waiting: Vec<Row> =
        requests.into_iter().enumerate().map(|(index, request)| Row::new(index, request, settings)).collect();
    waiting.sort_by(|a, b| {
        a.pending.len().cmp(&b.pending.len()).then_with(|| a.pending.cmp(&b.pending)).then(a.index.cmp(&b.index))
    });
    waiting.reverse();
    let size = settings.batch.max(1);
    let mut batch =
        Batch { settings, reader: Reader::new(model, 0, 0, device), rows: Vec::new(), finished: Vec::new() };
    let mut done = 0;
    loop {
        // New rows enter in numbers, because entering moves the cache of those that are there.
        while !waiting.is_empty() && batch.rows.len() <= size / 2 {
            let entering = waiting.split_off(waiting.len().saturating_sub(size - batch.rows.len()));
            batch.enter(entering.into_iter().rev().collect())?;
        }
        for (index, output) in batch.finished.drain(..) {
            outputs[index] = output;
            done += 1;
        }
        progress(done);
        if batch.rows.is_empty() {
            return Ok(outputs);
        }
        batch.step()?;
    }
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
    choice: Choice,
    limit: usize,
    output: Output,
    /// Tokens that the model hasn't read yet: the prompt at first, then the last free token and what it forces.
    pending: Vec<u32>,
}

impl Batch<'_> {
    /// Reads the prompts of new rows, picks their first tokens and takes them in.
    fn enter(&mut self, rows: Vec<Row>) -> Result<(), Error> {
        let (model, device) = (self.reader.model, self.reader.device);
        // Rows whose answer is forced to its end never meet the model.
        let (rows, done): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| !row.is_done(row.pending.len(), self.settings, model));
        self.finished.extend(done.into_iter().map(|row| row.finish(self.settings)));
        if rows.is_empty() {
            return Ok(());
        }
        let mut prompts: Vec<Vec<u32>> = Vec::new();
        let mut prompt_of = Vec::with_capacity(rows.len());
        let mut newcomers = Vec::with_capacity(rows.len());
        for mut row in rows {
            let prompt = std::mem::take(&mut row.pending);
            if prompts.last() != Some(&prompt) {
                prompts.push(prompt);
            }
            prompt_of.push(prompts.len() - 1);
            newcomers.push(row);
        }
        let mut reader = Reader::new(model, prompts.len(), prompts.iter().map(Vec::len).max().unwrap_or(0), device);
        let hidden = reader.read(&prompts);
        reader.keep(&prompt_of);
        let index: Vec<i32> = prompt_of.iter().map(|&p| p as i32).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [prompt_of.len()]), device);
        let mut batch = Batch { settings: self.settings, reader, rows: newcomers, finished: Vec::new() };
        batch.choose(hidden.select(0, index))?;
        batch.retire();
        self.finished.append(&mut batch.finished);
        if !batch.rows.is_empty() {
            self.reader.join(batch.reader, self.settings.max_new_tokens.min(64));
            self.rows.append(&mut batch.rows);
        }
        Ok(())
    }

    /// One more free token for every row.
    fn step(&mut self) -> Result<(), Error> {
        let pending: Vec<Vec<u32>> = self.rows.iter_mut().map(|row| std::mem::take(&mut row.pending)).collect();
        let hidden = self.reader.read(&pending);
        self.choose(hidden)?;
        self.retire();
        Ok(())
    }

    /// Picks the next token of every row among those allowed. `hidden` is `[rows, embedding]`.
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
            hidden.matmul(self.reader.model.decoder.output_rows(index).transpose())
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
            let Row { constraint, choice, .. } = row;
            let (token, probability) = match constraint.allowed() {
                _ if free.is_some() => free.unwrap_or_default(),
                Allowed::Any => choice.pick(logits.iter().copied().zip(0..)),
                Allowed::Except(tokens) => {
                    choice.pick(logits.iter().copied().zip(0..).filter(|(_, t)| tokens.binary_search(t).is_err()))
                }
                Allowed::Only(tokens) if all => choice.pick(tokens.iter().map(|&t| (logits[t as usize], t))),
                Allowed::Only(tokens) => choice.pick(tokens.iter().map(|t| (logits[columns[t]], *t))),
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
        let mut kept = Vec::new();
        let mut survivors = Vec::new();
        for (position, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let length = self.reader.length(position) + row.pending.len();
            if row.is_done(length, self.settings, self.reader.model) {
                self.finished.push(row.finish(self.settings));
            } else {
                kept.push(position);
                survivors.push(row);
            }
        }
        self.reader.keep(&kept);
        self.rows = survivors;
    }
}

impl Row {
    fn new(index: usize, request: Request, settings: Settings) -> Self {
        let Request { prompt, constraint, max_new_tokens, sampling } = request;
        let mut row = Self {
            index,
            constraint,
            choice: sampling.map_or(Choice::Best, Choice::drawn),
            limit: max_new_tokens.unwrap_or(usize::MAX).min(settings.max_new_tokens),
            output: Output::default(),
            pending: prompt,
        };
        // What is forced from the start rides with the prompt.
        row.take_forced();
        row
    }

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

    /// Whether the answer has ended, or may grow no more; `length` counts all of its tokens and those of its prompt.
    fn is_done(&self, length: usize, settings: Settings, model: &LanguageModel) -> bool {
        self.output.ids.contains(&settings.end_of_sequence)
            || self.output.ids.len() >= self.limit
            || length > model.config.context()
    }

    fn finish(self, settings: Settings) -> (usize, Output) {
        let mut output = self.output;
        // A run of forced tokens may reach over the end.
        let end = output.ids.iter().position(|&t| t == settings.end_of_sequence);
        let length = end.map_or(self.limit, |end| end + 1);
        output.truncated = end.is_none() || length > self.limit;
        output.ids.truncate(length);
        output.probabilities.truncate(length);
        (self.index, output)
    }
}

/// How one of several candidates is chosen.
enum Choice {
    Best,
    Drawn { temperature: f64, rng: ChaCha8Rng },
}

impl Choice {
    fn drawn(sampling: Sampling) -> Self {
        if sampling.temperature <= 0.0 {
            return Self::Best;
        }
        Self::Drawn { temperature: sampling.temperature, rng: random::stream(sampling.seed, "sampling") }
    }

    /// A candidate and its probability among them.
    fn pick(&mut self, candidates: impl Iterator<Item = (f32, u32)> + Clone) -> (u32, f32) {
        let Self::Drawn { temperature, rng } = self else { return best(candidates) };
        let top = candidates.clone().map(|(logit, _)| logit).fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32, temperature: f64| (f64::from(logit - top) / temperature).exp();
        let total: f64 = candidates.clone().map(|(logit, _)| weight(logit, *temperature)).sum();
        let mut left = rng.random::<f64>() * total;
        let mut chosen = (0.0, 0);
        for (logit, token) in candidates.clone() {
            // Rounding may leave a little behind the last candidate, which is then the one.
            chosen = (weight(logit, 1.0), token);
            left -= weight(logit, *temperature);
            if left < 0.0 {
                break;
            }
        }
        let plain: f64 = candidates.map(|(logit, _)| weight(logit, 1.0)).sum();
        (chosen.1, (chosen.0 / plain) as f32)
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
