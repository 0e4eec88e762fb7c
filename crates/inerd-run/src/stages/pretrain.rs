//! Language modelling on plain text: where a base model of our own comes from.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use inerd_experiment::{InputRef, Pretrain, PretrainStage};
use inerd_lm::{LanguageModel, Tokenizer};
use inerd_training::{Example, Flow, Hooks, Settings, Step, Trained, mean_loss, train};
use rayon::prelude::*;

use super::Job;
use super::generate;
use super::tokenizer::TOKENIZER;
use super::train::{CURVE, Log, VALIDATION, initial, latest, schedule};
use super::weights::{self, MODEL};
use crate::Error;

pub(crate) fn work(job: &mut Job<'_>, stage: &PretrainStage) -> Result<(), Error> {
    let own = &stage.settings;
    if own.dropout > 0.0 || own.final_lr > 0.0 {
        return Err(Error::Unsupported("`dropout` and `final_lr` of `[pretrain]` are not there yet".to_owned()));
    }
    let tokenizer = generate::tokenizer(job.context, &stage.tokenizer)?;
    let model = initial(job, &stage.weights, &stage.model, &tokenizer)?;
    model.check_tokenizer(&tokenizer)?;
    let length = own.length.unwrap_or(usize::MAX).min(model.config.context());
    let (examples, valid) = blocks(job, stage, &tokenizer, length)?;
    job.fact("examples", examples.len() as f64);
    job.fact("tokens_per_epoch", (examples.len() * length) as f64);
    job.fact("parameters", model.config.parameters() as f64);

    let (device, checkpoints) = (job.context.device.clone(), job.context.store.checkpoints(job.stage.id));
    fs::create_dir_all(&checkpoints).map_err(Error::store(&checkpoints))?;
    let mut settings = settings(own, stage.seed);
    settings.micro_batch = job.at_once(settings.micro_batch);
    let mut hooks = Watch {
        job,
        epochs: own.epochs,
        valid,
        curve: Log::open(&checkpoints.join(CURVE))?,
        validation: Log::open(&checkpoints.join(VALIDATION))?,
    };
    let trained = train(vec![model], &examples, &settings, &device, &checkpoints, &mut hooks)?;
    let (model, steps) = match trained {
        Trained::Finished { model, steps, .. } => (model, steps),
        Trained::Interrupted { .. } => return Err(Error::Interrupted),
    };
    job.fact("steps", steps as f64);
    let dir = job.dir.join(MODEL);
    weights::save(job.context, &model, None, &dir)?;
    tokenizer.save(&dir.join(TOKENIZER))?;
    for (name, key) in [(CURVE, "step"), (VALIDATION, "epoch")] {
        let records = latest(&checkpoints.join(name), key)?;
        if let Some(perplexity) = records.last().and_then(|record| record["perplexity"].as_f64()) {
            job.fact("perplexity", perplexity);
        }
        job.write_json_lines(name, &records)?;
    }
    Ok(())
}

/// The whole text of a corpus to pre-train on.
pub(crate) fn text(job: &Job<'_>, corpus: &InputRef) -> Result<String, Error> {
    let Some(path) = job.context.inputs.text_file(&corpus.name) else {
        let missing = format!("text {}", corpus.name);
        return Err(Error::Unsupported(job.context.inputs.missing(&missing).unwrap_or(missing)));
    };
    job.context.inputs.unchanged("text", corpus)?;
    Ok(inerd_corpus::decode(&path, inerd_corpus::read_bytes(&path)?, "utf-8")?)
}

/// Training and validation blocks of `length` tokens. Each corpus is one run of tokens, cut into blocks; the last ones
/// are held out, so that no held-out block has its continuation in training.
fn blocks(
    job: &Job<'_>,
    stage: &PretrainStage,
    tokenizer: &Arc<Tokenizer>,
    length: usize,
) -> Result<(Vec<Example>, Vec<Example>), Error> {
    let (mut training, mut valid) = (Vec::new(), Vec::new());
    for corpus in &stage.corpora {
        let text = text(job, corpus)?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let ids: Vec<Vec<u32>> = lines.par_iter().map(|line| tokenizer.encode(line)).collect();
        let mut blocks: Vec<Example> = (ids.concat().chunks_exact(length))
            .map(|block| Example { ids: block.to_vec(), response: 1, ..Example::default() })
            .collect();
        if blocks.is_empty() {
            let split = format!("pre-training ({length} tokens make a sequence)");
            return Err(Error::EmptySplit { dataset: corpus.name.clone(), split });
        }
        let held = (blocks.len() as f64 * stage.settings.valid_fraction).round() as usize;
        valid.extend(blocks.split_off(blocks.len() - held.min(blocks.len() - 1)));
        training.extend(blocks);
    }
    Ok((training, valid))
}

fn settings(own: &Pretrain, seed: u64) -> Settings {
    Settings {
        epochs: own.epochs,
        max_steps: own.max_steps,
        patience: None,
        batch: own.batch,
        micro_batch: own.micro_batch.unwrap_or(own.batch),
        learning_rate: own.lr,
        schedule: schedule(own.schedule, own.warmup, own.decay),
        weight_decay: own.weight_decay as f32,
        betas: (own.beta1 as f32, own.beta2 as f32),
        epsilon: 1e-8,
        clip: own.clip.map(|c| c as f32),
        loss: inerd_training::Loss::Response,
        seed,
        checkpoint_every: own.checkpoint_every,
        co_regularization: None,
        pl_marker: None,
    }
}

/// Writes the curve, measures perplexity after each epoch, hears a request to stop.
struct Watch<'a, 'b> {
    job: &'a mut Job<'b>,
    epochs: usize,
    valid: Vec<Example>,
    curve: Log,
    validation: Log,
}

impl Hooks for Watch<'_, '_> {
    fn on_step(&mut self, step: &Step) -> Flow {
        let written = self.curve.write(step);
        let message = format!("epoch {}/{} · loss {:.3}", step.epoch, self.epochs, step.loss);
        self.job.progress("step", step.step, step.total_steps, message);
        let stop = self.job.context.stop.load(Ordering::Relaxed);
        if stop || written.is_err() { Flow::Stop } else { Flow::Continue }
    }

    fn validate(
        &mut self,
        model: &LanguageModel,
        epoch: usize,
    ) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>> {
        if !self.valid.is_empty() {
            let device = &self.job.context.device;
            let loss = mean_loss(model, &self.valid, inerd_training::Loss::Response, device);
            // As in tuning: a score is the better the higher.
            let record =
                serde_json::json!({ "epoch": epoch, "metric": "loss", "score": -loss, "perplexity": loss.exp() });
            self.validation.write(&record)?;
        }
        // The last weights are the model: one pass over much text doesn't overfit.
        Ok(None)
    }
}
