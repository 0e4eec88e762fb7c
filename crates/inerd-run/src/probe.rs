//! One step on the device, measured before a plan is run: what predictions rest on where the store has no earlier runs.

use std::collections::BTreeMap;
use std::time::Instant;

use inerd_experiment::{Backend, Calibration, Measured, Model, Plan, Range, Rates, Stage, StageKind, Training, Work};
use inerd_lm::{Allowed, Config, Constraint, Gpt2Config, LanguageModel, Request, generate};
use inerd_training::{Example, Flow, Hooks, Step, train};

use crate::{Context, Error, Store, stages};

/// Optimiser steps; the first one warms up and isn't counted.
const STEPS: usize = 3;
/// Tokens written per answer.
const WRITTEN: usize = 8;
/// Models that are larger than this are not built for a probe on a CPU.
const LARGEST_ON_CPU: f64 = 1e9;

/// Measures the costliest stage of each kind that computes: a random model of its shape takes one step of its size.
/// Gives what the whole stage would take at that rate. Writes below the system's temporary folder, not to the store.
pub fn probe(plan: &Plan, context: &Context) -> Result<Vec<Measured>, Error> {
    let raw = |stage: &Stage| Calibration::default().cost(stage).seconds.middle;
    let mut costliest: BTreeMap<&str, &Stage> = BTreeMap::new();
    for stage in &plan.stages {
        let (known, shape) = (stage.work.model, shape(&stage.kind).is_some());
        let fits = context.inputs.backend == Backend::Cuda || known.parameters < LARGEST_ON_CPU;
        if shape && fits && known.layers > 0.0 {
            let kept = costliest.entry(stage.kind.name()).or_insert(stage);
            if raw(stage) > raw(kept) {
                *kept = stage;
            }
        }
    }
    costliest.into_values().map(|stage| measure(stage, context)).collect()
}

/// The shape of the model that a stage computes with; `None` for stages that don't.
fn shape(kind: &StageKind) -> Option<&Model> {
    match kind {
        StageKind::Pretrain(stage) => Some(&stage.model),
        StageKind::Coarse(stage) | StageKind::Fine(stage) => Some(&stage.model),
        StageKind::Generate(stage) => Some(&stage.model),
        StageKind::Tokenizer(_) | StageKind::Corpus(_) | StageKind::Score(_) => None,
    }
}

fn measure(stage: &Stage, context: &Context) -> Result<Measured, Error> {
    let Work { model: size, tokens_at_once, .. } = stage.work;
    let (width, limit) = (size.width as usize, size.context as usize);
    // A pretrained model's heads are its own; 64 wide is the usual.
    let heads = shape(&stage.kind).map_or(1, |model| model.heads);
    let heads = if width.is_multiple_of(heads) { heads } else { (width / 64).max(1) };
    let config = Gpt2Config::new(size.vocabulary as usize, limit, width, size.layers as usize, heads);
    let model = LanguageModel::random(Config::Gpt2(config), 1, &context.device)?;
    let startup = if context.inputs.backend == Backend::Cuda { Rates::CUDA.startup } else { Rates::CPU.startup };
    let mut probed = stage.clone();
    probed.work = Work { sentences: 0.0, prefilled: Range::default(), decoded: Range::default(), ..stage.work.clone() };
    let per_token = match &stage.kind {
        StageKind::Generate(generate) => {
            let rows = generate.settings.batch;
            let length = (tokens_at_once as usize / rows.max(1)).clamp(2, limit.saturating_sub(WRITTEN).max(2)) / 2;
            probed.work.trained = Range::default();
            probed.work.prefilled = Range::exactly((rows * length) as f64);
            probed.work.decoded = Range::exactly((rows * WRITTEN) as f64);
            let seconds = decode(&model, rows, length.max(1), context)?;
            return Ok(Measured::new(&probed, seconds + startup));
        }
        StageKind::Pretrain(own) => step(model, own.settings.batch, own.settings.micro_batch, tokens_at_once, context)?,
        StageKind::Coarse(own) | StageKind::Fine(own) => {
            step(model, own.settings.batch, own.settings.micro_batch, tokens_at_once, context)?
        }
        _ => return Err(Error::Bug("a stage that doesn't compute was probed".to_owned())),
    };
    probed.work.reused = 0.0;
    probed.work.copies = 1.0;
    Ok(Measured::new(&probed, per_token * probed.work.trained.middle() + startup))
}

/// Seconds per trained token.
fn step(
    model: LanguageModel,
    batch: usize,
    micro_batch: Option<usize>,
    tokens_at_once: f64,
    context: &Context,
) -> Result<f64, Error> {
    let at_once = micro_batch.unwrap_or(batch).max(1);
    // The longest sequence decides about memory; usual ones are half as long.
    let length = (tokens_at_once as usize / at_once / 2).clamp(2, model.config.context());
    let vocabulary = model.config.vocab_size() as u32;
    let ids: Vec<u32> = (0..length as u32).map(|i| i % vocabulary).collect();
    let examples = vec![Example { ids, response: 1, ..Example::default() }; batch * STEPS];
    let mut settings = stages::train::settings(&Training { patience: None, ..Training::default() }, 1);
    (settings.epochs, settings.max_steps, settings.checkpoint_every) = (1, Some(STEPS), None);
    (settings.batch, settings.micro_batch) = (batch, at_once);
    let store = Store::open(&std::env::temp_dir().join(format!("inerd-probe-{}", std::process::id())))?;
    let mut watch = Watch { start: None, tokens: 0, seconds: 0.0 };
    let trained =
        train(vec![model], &examples, &settings, &context.device, &store.root().join("checkpoints"), &mut watch);
    // The folder is temporary in any case.
    let _ = std::fs::remove_dir_all(store.root());
    trained?;
    Ok(watch.seconds / watch.tokens.max(1) as f64)
}

/// Times the steps after the first.
struct Watch {
    start: Option<Instant>,
    tokens: usize,
    seconds: f64,
}

impl Hooks for Watch {
    fn on_step(&mut self, step: &Step) -> Flow {
        match self.start {
            None => self.start = Some(Instant::now()),
            Some(start) => {
                self.tokens += step.tokens;
                self.seconds = start.elapsed().as_secs_f64();
            }
        }
        Flow::Continue
    }

    fn validate(
        &mut self,
        _: &LanguageModel,
        _: usize,
    ) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}

/// Seconds in which a batch of prompts is read and a few tokens are written behind each.
fn decode(model: &LanguageModel, rows: usize, length: usize, context: &Context) -> Result<f64, Error> {
    let settings = inerd_lm::Settings { batch: rows, max_new_tokens: WRITTEN, end_of_sequence: u32::MAX };
    let mut seconds = 0.0;
    // The second time counts: the first one warms up.
    for _ in 0..2 {
        let vocabulary = model.config.vocab_size();
        // Different prompts: equal ones would be read once.
        let prompt = |row: usize| (0..length).map(|i| ((row + i * 7) % vocabulary) as u32).collect();
        let requests = (0..rows).map(|row| Request::new(prompt(row), Box::new(Anything))).collect();
        let start = Instant::now();
        generate(model, requests, settings, &context.device, &mut |_| {})?;
        seconds = start.elapsed().as_secs_f64();
    }
    Ok(seconds)
}

/// Every token is allowed.
struct Anything;

impl Constraint for Anything {
    fn allowed(&mut self) -> Allowed<'_> {
        Allowed::Any
    }

    fn forced(&mut self, _: &mut Vec<u32>) {}

    fn advance(&mut self, _: u32) {}
}
