use std::path::Path;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use inerd_lm::{LanguageModel, Noise, random};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoints, State};
use crate::example::{Example, lay_out};
use crate::gradient;
use crate::loss::response_loss;
use crate::optimizer::Optimizer;
use crate::{Error, Settings};

/// What one optimiser step did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// 1-based, over all epochs.
    pub step: usize,
    pub total_steps: usize,
    /// 1-based.
    pub epoch: usize,
    /// Mean cross-entropy per counted response token, in nats.
    pub loss: f64,
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

/// Trains `model` on `examples`; goes on from the newest checkpoint under `checkpoints` where there is one.
///
/// On the CPU, an interrupted and resumed training gives the same weights bit for bit as an uninterrupted one.
pub fn train(
    model: LanguageModel,
    examples: &[Example],
    settings: &Settings,
    device: &Device,
    checkpoints: &Path,
    hooks: &mut dyn Hooks,
) -> Result<Trained, Error> {
    if examples.is_empty() {
        return Err(Error::NoExamples);
    }
    let context = model.config.context();
    if let Some((index, e)) = examples.iter().enumerate().find(|(_, e)| e.ids.len() > context) {
        return Err(Error::TooLong { index, length: e.ids.len(), context });
    }
    let checkpoints = Checkpoints::new(checkpoints);
    let (model, optimizer, state) = match checkpoints.load(Optimizer::new(settings), &model)? {
        Ok(resumed) => resumed,
        Err(optimizer) => (model, optimizer, State::default()),
    };
    let total_steps = settings.total_steps(examples.len());
    let mut run = Run {
        model: model.with_decoder(model.decoder.clone().train()),
        optimizer,
        state,
        examples,
        settings,
        device: device.clone().autodiff(),
        total_steps,
    };
    // The weights before training are not kept: they would lie in memory beside the trained ones.
    drop(model);
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
                checkpoints.save(&run.plain(), &run.optimizer, &run.state)?;
            }
            if stop {
                return Ok(Trained::Interrupted { steps: run.state.step });
            }
        }
        run.state.epoch += 1;
        run.state.step_in_epoch = 0;
        let model = run.plain();
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
        checkpoints.save(&model, &run.optimizer, &run.state)?;
    }
    let model = match run.state.best {
        Some((_, epoch)) => checkpoints.load_best(epoch, &run.plain())?,
        None => run.plain(),
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
    /// With its parameters on the device that keeps the tape.
    model: LanguageModel,
    optimizer: Optimizer,
    state: State,
    examples: &'a [Example],
    settings: &'a Settings,
    device: Device,
    total_steps: usize,
}

impl Run<'_> {
    /// The model as it stands, without the tape.
    fn plain(&self) -> LanguageModel {
        self.model.with_decoder(self.model.decoder.valid())
    }

    /// One optimiser step over the examples of `batch`.
    fn step(&mut self, batch: &[usize]) -> Result<Step, Error> {
        let settings = self.settings;
        let mut sorted: Vec<&Example> = batch.iter().map(|&i| &self.examples[i]).collect();
        // Micro-batches of like lengths hold less padding; the order within a batch has no other effect.
        sorted.sort_by_key(|e| e.ids.len());
        let mut gradients = GradientsAccumulator::new();
        let (mut loss, mut counted) = (0.0, 0);
        for (part, examples) in sorted.chunks(settings.micro_batch.max(1)).enumerate() {
            let packed = lay_out(examples, &self.device);
            let noise = Noise::new(settings.seed, &format!("dropout at step {}, part {part}", self.state.step));
            let Some((sum, tokens)) =
                response_loss(&self.model.decoder, examples, &packed, settings.loss, Some(noise), &self.device)
            else {
                continue;
            };
            loss += f64::from(sum.clone().into_scalar::<f32>());
            counted += tokens;
            gradients.accumulate(&self.model.decoder, GradientsParams::from_grads(sum.backward(), &self.model.decoder));
        }
        let count = counted.max(1) as f64;
        let loss = loss / count;
        let step = self.state.step + 1;
        if !loss.is_finite() {
            return Err(Error::Diverged { step, loss });
        }
        let learning_rate = settings.learning_rate * settings.schedule.factor(self.state.step, self.total_steps);
        let mut gradient_norm = 0.0;
        if counted > 0 {
            let gradients = gradients.grads();
            // The gradients are of the summed loss; the step is taken on the mean, clipped so that the joint norm is at
            // most the limit (Pascanu et al. 2013, algorithm 1).
            let mean = 1.0 / count as f32;
            gradient_norm = mean * gradient::norm(&self.model.decoder, &gradients);
            let limit = settings.clip.unwrap_or(f32::INFINITY);
            let scale = if gradient_norm > limit { mean * limit / gradient_norm } else { mean };
            let decoder = self.model.decoder.clone();
            self.model.decoder = self.optimizer.step(learning_rate, scale, decoder, gradients);
        }
        self.state.step += 1;
        self.state.step_in_epoch += 1;
        Ok(Step {
            step,
            total_steps: self.total_steps,
            epoch: self.state.epoch + 1,
            loss,
            learning_rate,
            gradient_norm,
            tokens: sorted.iter().map(|e| e.ids.len()).sum(),
        })
    }
}
