use std::path::Path;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use inerd_lm::{Decoder, LanguageModel, random};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoints, State};
use crate::co_regularization::with_own_identities;
use crate::example::Example;
use crate::gradient;
use crate::objective::{Counts, Objective, Sums};
use crate::optimizer::Optimizer;
use crate::pl_marker::{Labelled, TOKENS, training_passes};
use crate::{Error, Settings};

/// What one optimiser step did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// 1-based, over all epochs.
    pub step: usize,
    pub total_steps: usize,
    /// 1-based.
    pub epoch: usize,
    /// Mean cross-entropy per counted response token, in nats; the copies' mean where there are several.
    pub loss: f64,
    /// Mean divergence of the copies at a choice of the response, in nats, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
    /// Mean cross-entropy per candidate span, in nats, where spans are classified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<f64>,
    pub learning_rate: f64,
    /// Norm of all gradients before clipping.
    pub gradient_norm: f32,
    /// Tokens read, prompts included, padding excluded.
    pub tokens: usize,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// Write a checkpoint and return.
    Stop,
}

/// What the caller does along the way.
pub trait Hooks {
    fn on_step(&mut self, step: &Step) -> Flow;

    /// A validation score for the epoch just finished (1-based), higher is better; `None` where none is wanted.
    fn validate(
        &mut self,
        model: &LanguageModel,
        epoch: usize,
    ) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>>;
}

/// How a training ended.
#[derive(Debug)]
pub enum Trained {
    Finished {
        model: LanguageModel,
        steps: usize,
        /// Validation score and 1-based epoch of the weights returned, where there was validation.
        best: Option<(f64, usize)>,
    },
    /// A hook asked to stop; the checkpoint holds everything needed to go on.
    Interrupted { steps: usize },
}

/// Trains a model on `examples`; goes on from the newest checkpoint under `checkpoints` where there is one. Several
/// `copies` of one shape are trained together ([`crate::CoRegularization`]); the first one is the model that is validated
/// and returned.
///
/// On the CPU, an interrupted and resumed training gives the same weights bit for bit as an uninterrupted one.
pub fn train(
    copies: Vec<LanguageModel>,
    examples: &[Example],
    settings: &Settings,
    device: &Device,
    checkpoints: &Path,
    hooks: &mut dyn Hooks,
) -> Result<Trained, Error> {
    if examples.is_empty() {
        return Err(Error::NoExamples);
    }
    let Some(context) = copies.first().map(|model| model.config.context()) else { return Err(Error::NoCopies) };
    if let Some((index, e)) = examples.iter().enumerate().find(|(_, e)| e.ids.len() > context) {
        return Err(Error::TooLong { index, length: e.ids.len(), context });
    }
    let checkpoints = Checkpoints::new(checkpoints);
    let (copies, optimizer, state) = match checkpoints.load(Optimizer::new(settings), &copies)? {
        Ok(resumed) => resumed,
        Err(optimizer) => (copies, optimizer, State::default()),
    };
    let tracked = |(i, copy): (usize, LanguageModel)| {
        let decoder = with_own_identities(copy.decoder.clone(), i).train();
        copy.with_decoder(decoder)
    };
    let total_steps = settings.total_steps(examples.len());
    let mut run = Run {
        // The weights before training are not kept: they would lie in memory beside the trained ones.
        copies: copies.into_iter().enumerate().map(tracked).collect(),
        optimizer,
        state,
        examples,
        settings,
        device: device.clone().autodiff(),
        total_steps,
    };
    let save = |run: &Run<'_>| checkpoints.save(&run.plain(), &run.optimizer, &run.state);
    // An epoch that was begun is finished and validated, also by a run that resumes behind the very last step.
    while run.state.epoch < settings.epochs && (run.state.step < total_steps || run.state.step_in_epoch > 0) {
        let order = epoch_order(examples.len(), settings.seed, run.state.epoch);
        let batches = order.chunks(settings.batch.max(1)).skip(run.state.step_in_epoch);
        for batch in batches {
            if run.state.step >= total_steps {
                break;
            }
            let step = run.step(batch)?;
            let stop = hooks.on_step(&step) == Flow::Stop;
            let due = settings.checkpoint_every.is_some_and(|every| run.state.step.is_multiple_of(every.max(1)));
            if stop || due {
                save(&run)?;
            }
            if stop {
                return Ok(Trained::Interrupted { steps: run.state.step });
            }
        }
        run.state.epoch += 1;
        run.state.step_in_epoch = 0;
        let model = run.first();
        if let Some(score) = hooks.validate(&model, run.state.epoch).map_err(Error::Validation)? {
            if run.state.best.is_none_or(|(best, _)| score > best) {
                run.state.best = Some((score, run.state.epoch));
                checkpoints.save_best(&model, run.state.epoch)?;
            }
            let waited = run.state.epoch - run.state.best.map_or(0, |(_, epoch)| epoch);
            if settings.patience.is_some_and(|patience| waited >= patience) {
                break;
            }
        }
        save(&run)?;
    }
    let model = match run.state.best {
        Some((_, epoch)) => checkpoints.load_best(epoch, &run.first())?,
        None => run.first(),
    };
    Ok(Trained::Finished { model, steps: run.state.step, best: run.state.best })
}

/// The order of the examples in one epoch: a function of seed and epoch, so that a resumed run needs no saved state.
fn epoch_order(examples: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    order.shuffle(&mut random::stream(seed, &format!("order of epoch {epoch}")));
    order
}

struct Run<'a> {
    /// One model, or several that learn from each other, with their parameters on the device that keeps the tape.
    copies: Vec<LanguageModel>,
    optimizer: Optimizer,
    state: State,
    examples: &'a [Example],
    settings: &'a Settings,
    device: Device,
    total_steps: usize,
}

impl<'a> Run<'a> {
    /// The models as they stand, without the tape.
    fn plain(&self) -> Vec<LanguageModel> {
        self.copies.iter().map(|copy| copy.with_decoder(copy.decoder.valid())).collect()
    }

    /// The model that is validated and kept.
    fn first(&self) -> LanguageModel {
        self.copies[0].with_decoder(self.copies[0].decoder.valid())
    }

    /// An example with those of its candidate spans that this epoch trains on.
    fn drawn(&self, example: usize) -> (&'a Example, Vec<Labelled>) {
        let drawn = &self.examples[example];
        let draw =
            |pl_marker: &crate::PlMarker| pl_marker.drawn(&drawn.spans, self.settings.seed, self.state.epoch, example);
        (drawn, self.settings.pl_marker.as_ref().map(draw).unwrap_or_default())
    }

    /// One optimiser step over the examples of `batch`.
    fn step(&mut self, batch: &[usize]) -> Result<Step, Error> {
        let settings = self.settings;
        let mut sorted: Vec<(&Example, Vec<Labelled>)> = batch.iter().map(|&i| self.drawn(i)).collect();
        // Micro-batches of like lengths hold less padding; the order within a batch has no other effect.
        sorted.sort_by_key(|(e, _)| e.ids.len());
        let counts = Counts::of(&sorted, settings.loss);
        let co_regularization = settings.co_regularization.as_ref();
        let alpha = co_regularization.map_or(0.0, |co| co.alpha_at(self.state.step, self.total_steps));
        let objective = Objective { settings, counts, alpha, step: self.state.step, device: &self.device };
        let mut gradients = GradientsAccumulator::new();
        let mut sums = Sums::default();
        let copies: Vec<Decoder> = self.copies.iter().map(|copy| copy.decoder.clone()).collect();
        let mut learn = |part: Option<(Tensor<1>, Sums)>| {
            if let Some((loss, of_part)) = part {
                sums.add(of_part);
                gradients.accumulate(&copies, GradientsParams::from_grads(loss.backward(), &copies));
            }
        };
        for (part, examples) in sorted.chunks(settings.micro_batch.max(1)).enumerate() {
            let examples: Vec<&Example> = examples.iter().map(|(example, _)| *example).collect();
            learn(objective.answers(&copies, &examples, part));
        }
        if let Some(pl_marker) = &settings.pl_marker {
            for (part, passes) in training_passes(&sorted, pl_marker.markers.pairs, TOKENS).iter().enumerate() {
                learn(objective.spans(&copies, pl_marker, passes, part));
            }
        }
        let mean = |sum: f64, count: usize| sum / count.max(1) as f64;
        let loss = mean(sums.answers, counts.tokens);
        let divergence = (self.copies.len() > 1).then(|| mean(sums.divergence, counts.choices));
        let spans = settings.pl_marker.is_some().then(|| mean(sums.spans, counts.spans));
        let step = self.state.step + 1;
        if let Some(loss) = [Some(loss), divergence, spans].into_iter().flatten().find(|loss| !loss.is_finite()) {
            return Err(Error::Diverged { step, loss });
        }
        let learning_rate = settings.learning_rate * settings.schedule.factor(self.state.step, self.total_steps);
        let mut gradient_norm = 0.0;
        if counts.tokens + counts.spans > 0 {
            let gradients = gradients.grads();
            // The gradients are of the summed loss; the step is taken on the mean, clipped so that the joint norm is at
            // most the limit (Pascanu et al. 2013, algorithm 1).
            let mean = 1.0 / counts.tokens.max(1) as f32;
            gradient_norm = mean * gradient::norm(&copies, &gradients);
            let limit = settings.clip.unwrap_or(f32::INFINITY);
            let scale = if gradient_norm > limit { mean * limit / gradient_norm } else { mean };
            let updated = self.optimizer.step(learning_rate, scale, copies, gradients);
            for (copy, decoder) in self.copies.iter_mut().zip(updated) {
                copy.decoder = decoder;
            }
        }
        self.state.step += 1;
        self.state.step_in_epoch += 1;
        Ok(Step {
            step,
            total_steps: self.total_steps,
            epoch: self.state.epoch + 1,
            loss,
            divergence,
            spans,
            learning_rate,
            gradient_norm,
            tokens: sorted.iter().map(|(e, _)| e.ids.len()).sum(),
        })
    }
}
