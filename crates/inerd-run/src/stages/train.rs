//! Coarse- and fine-tuning: sentences become prompt–response pairs, a model learns to write the responses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use inerd_decoding::{Codec, Rules};
use inerd_experiment::{
    Architecture, Granularity, LoraMode, Loss, Model, Schedule, TrainStage, Training, ValidMetric, Weights,
};
use inerd_lm::{
    Config, FalconConfig, Gpt2Config, GptNeoXConfig, LanguageModel, LlamaConfig, LoraConfig, Tokenizer, random,
};
use inerd_metrics::score_spans;
use inerd_text::{Schema, Sentence};
use inerd_training::{
    CoRegularization, Example, Flow, Hooks, Markers, PlMarker, Settings, Step, Trained, perturbed, train,
};
use rand::Rng as _;
use rayon::prelude::*;

use super::Job;
use super::answer::{Answering, Strategy, prompt};
use super::corpus::{SCHEMA, TRAIN, VALID};
use super::generate;
use super::spans::{Judge, labelled, marker_tokens, markers};
use super::tokenizer::TOKENIZER;
use super::weights::{self, ADAPTER, MODEL};
use crate::Error;

/// One line per optimiser step.
pub const CURVE: &str = "curve.jsonl";
/// One line per look at the validation split.
pub const VALIDATION: &str = "validation.jsonl";

pub(crate) fn work(job: &mut Job<'_>, stage: &TrainStage) -> Result<(), Error> {
    unsupported(&stage.settings)?;
    let corpus = job.parent(stage.corpus)?;
    let schema: Schema = corpus.json(SCHEMA)?;
    let sentences: Vec<Sentence> = corpus.json_lines(TRAIN)?;
    let valid: Vec<Sentence> = corpus.json_lines(VALID)?;
    let tokenizer = generate::tokenizer_for(job.context, &stage.tokenizer, &stage.format)?;
    let (copies, base) = adapted(job, stage, &tokenizer)?;
    let model = &copies[0];
    model.check_tokenizer(&tokenizer)?;
    job.fact("trained_parameters", model.trained_parameters() as f64);
    let codec = || generate::codec(&tokenizer, &stage.format, schema.clone());

    let longest = stage.settings.max_length.unwrap_or(usize::MAX).min(model.config.context());
    let own = &stage.settings;
    let mask = if own.loss == Loss::Masked || own.co_regularization.is_some() {
        // Copies may be asked to agree on the whole vocabulary.
        let free = own.loss == Loss::Response && own.mask.is_none();
        (!free).then(|| generate::rules(&own.mask, Granularity::Token)).transpose()?
    } else {
        None
    };
    let pairs = Pairs { codec: &codec()?, cued: stage.format.dataset_cue, mask, longest, training: own };
    let (examples, left_out) = pairs.of(&sentences);
    job.fact("examples", examples.len() as f64);
    job.fact("left_out_as_too_long", left_out.too_long as f64);
    job.fact("tokens_per_epoch", examples.iter().map(|e| e.ids.len()).sum::<usize>() as f64);
    if own.pl_marker.is_some() {
        job.fact("candidate_spans", examples.iter().map(|e| e.spans.len()).sum::<usize>() as f64);
        job.fact("entities_that_are_no_candidate", left_out.entities as f64);
    }

    let mut settings = settings(own, stage.seed);
    settings.micro_batch = job.at_once(settings.micro_batch);
    if let Some(pl_marker) = &own.pl_marker {
        settings.pl_marker = Some(PlMarker {
            markers: markers(&tokenizer, pairs.codec, pl_marker)?,
            weight: pl_marker.weight,
            negatives: pl_marker.negatives,
        });
    }
    let limit = stage.settings.valid.max_sentences.unwrap_or(usize::MAX);
    let valid: Vec<Sentence> = valid.into_iter().take(limit).collect();
    let (device, checkpoints) = (job.context.device.clone(), job.context.store.checkpoints(job.stage.id));
    // The curve lives beside the checkpoints until the stage is done, so that a resumed training keeps its beginning.
    fs::create_dir_all(&checkpoints).map_err(Error::store(&checkpoints))?;
    let mut hooks = Watch {
        job,
        training: &stage.settings,
        tokenizer: Arc::clone(&tokenizer),
        codec: codec()?,
        cued: stage.format.dataset_cue,
        valid_examples: pairs.of(&valid).0,
        valid,
        markers: settings.pl_marker.as_ref().map(|pl_marker| pl_marker.markers.clone()),
        epochs: settings.epochs,
        curve: Log::open(&checkpoints.join(CURVE))?,
        validation: Log::open(&checkpoints.join(VALIDATION))?,
    };
    let trained = train(copies, &examples, &settings, &device, &checkpoints, &mut hooks)?;
    let (model, steps, best) = match trained {
        Trained::Finished { model, steps, best } => (model, steps, best),
        Trained::Interrupted { .. } => return Err(Error::Interrupted),
    };
    job.fact("steps", steps as f64);
    if let Some((score, epoch)) = best {
        job.fact("best_epoch", epoch as f64);
        job.fact("best_validation_score", score);
    }
    let dir = job.dir.join(MODEL);
    weights::save(job.context, &model, base.as_ref(), &dir)?;
    tokenizer.save(&dir.join(TOKENIZER))?;
    for (name, key) in [(CURVE, "step"), (VALIDATION, "epoch")] {
        let records = latest(&checkpoints.join(name), key)?;
        job.write_json_lines(name, &records)?;
    }
    Ok(())
}

/// The records of a log, one for each value of `key`: a training killed behind its last checkpoint did some steps
/// twice, with the same result.
pub(crate) fn latest(path: &Path, key: &str) -> Result<Vec<serde_json::Value>, Error> {
    let text = fs::read_to_string(path).map_err(Error::store(path))?;
    let mut records = BTreeMap::new();
    // A line cut off by a crash doesn't parse; its step was done again.
    for record in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        records.insert(record[key].as_u64(), record);
    }
    Ok(records.into_values().collect())
}

fn unsupported(training: &Training) -> Result<(), Error> {
    let missing = if training.dropout > 0.0 {
        "`dropout`"
    } else if training.final_lr > 0.0 {
        "`final_lr`"
    } else if training.warmup_steps.is_some() {
        "`warmup_steps`"
    } else if training.order == inerd_experiment::DataOrder::Nested {
        "`order = \"nested\"`"
    } else {
        return Ok(());
    };
    Err(Error::Unsupported(format!("{missing} is not there yet")))
}

/// The model before this training, with the adapter to train where the stage asks for one, and then the weights that
/// the adapter belongs to.
///
/// A parent's adapter of the same shape is trained on; any other is worked into the weights first.
fn adapted(
    job: &Job<'_>,
    stage: &TrainStage,
    tokenizer: &Tokenizer,
) -> Result<(Vec<LanguageModel>, Option<Weights>), Error> {
    let own = &stage.settings;
    let count = own.co_regularization.as_ref().map_or(1, |co| co.copies);
    // Copy 0 begins as it would alone.
    let draw = |seed: u64, copy: usize| match copy {
        0 => seed,
        _ => random::stream(seed, &format!("weights of copy {copy}")).next_u64(),
    };
    // Copies of what is trained already, which differ by noise alone and by their dropout.
    let of_trained = |model: LanguageModel, dropout: f64| -> Result<Vec<LanguageModel>, Error> {
        let noise = own.co_regularization.as_ref().map_or(0.0, |co| co.noise);
        if count > 1 && noise <= 0.0 && dropout <= 0.0 {
            let reason =
                "the copies of `co_regularization` begin equal and would stay so: give them `noise`, or dropout";
            return Err(Error::Unsupported(reason.to_owned()));
        }
        let others = (1..count).map(|copy| perturbed(&model, noise, draw(stage.seed, copy))).collect();
        Ok([vec![model], others].concat())
    };
    // Separators that are tokens of their own need embeddings.
    let initial = |from: &Weights| -> Result<LanguageModel, Error> {
        let model = initial(job, from, &stage.model, tokenizer)?;
        Ok(if stage.format.special_tokens { model.with_vocabulary(tokenizer.vocab_size()) } else { model })
    };
    if own.lora.mode != LoraMode::On {
        let copies = match &stage.weights {
            Weights::Random(seed) => {
                (0..count).map(|copy| initial(&Weights::Random(draw(*seed, copy)))).collect::<Result<_, _>>()?
            }
            Weights::Stage(_) | Weights::Model(_) => of_trained(initial(&stage.weights)?, own.dropout)?,
        };
        return Ok((copies, None));
    }
    let mut trained_tokens: Vec<u32> = Vec::new();
    if stage.format.special_tokens && own.lora.train_separators {
        let names = generate::separators(&stage.format).into_iter();
        trained_tokens.extend(names.filter_map(|name| tokenizer.token_id(name)));
    }
    if own.pl_marker.is_some() {
        trained_tokens.extend(marker_tokens(tokenizer)?);
    }
    let lora = LoraConfig {
        rank: own.lora.rank,
        alpha: own.lora.alpha,
        dropout: own.lora.dropout,
        rslora: own.lora.rslora,
        targets: own.lora.targets.clone(),
        trained_tokens,
    };
    if let Weights::Stage(parent) = &stage.weights {
        let dir = job.parent(*parent)?.path(MODEL);
        if let Some((model, base)) = weights::load_adapter(job.context, &dir)?
            && let Some(model) = model.continued(&lora)?
        {
            return Ok((of_trained(model, lora.dropout)?, Some(base)));
        }
    }
    let model = initial(&stage.weights)?;
    let adapter = |copy: usize| {
        let name = if copy == 0 { ADAPTER.to_owned() } else { format!("{ADAPTER}-{copy}") };
        model.with_adapter(&lora, &name, draw(stage.seed, copy))
    };
    let copies: Result<Vec<_>, _> = (0..count).map(adapter).collect();
    Ok((copies?, Some(stage.weights.clone())))
}

/// The model before this training: a parent's, a pretrained one, or fresh weights.
pub(crate) fn initial(
    job: &Job<'_>,
    from: &Weights,
    model: &Model,
    tokenizer: &Tokenizer,
) -> Result<LanguageModel, Error> {
    match from {
        Weights::Random(seed) => {
            let config = fresh_config(model, tokenizer);
            Ok(LanguageModel::random(config, *seed, &job.context.device)?)
        }
        Weights::Stage(_) | Weights::Model(_) => weights::load(job.context, from),
    }
}

fn fresh_config(model: &Model, tokenizer: &Tokenizer) -> Config {
    let (vocabulary, end) = (tokenizer.vocab_size(), Some(tokenizer.end_of_sequence().into()));
    let Model { context, width, layers, heads, .. } = *model;
    match model.architecture {
        Architecture::Gpt2 => {
            Config::Gpt2(Gpt2Config { eos_token_id: end, ..Gpt2Config::new(vocabulary, context, width, layers, heads) })
        }
        Architecture::Llama => Config::Llama(LlamaConfig {
            eos_token_id: end,
            num_key_value_heads: model.kv_heads,
            ..LlamaConfig::new(vocabulary, context, width, layers, heads)
        }),
        Architecture::GptNeoX => Config::GptNeoX(GptNeoXConfig {
            eos_token_id: end,
            ..GptNeoXConfig::new(vocabulary, context, width, layers, heads)
        }),
        Architecture::Falcon => Config::Falcon(FalconConfig {
            eos_token_id: end,
            ..FalconConfig::new(vocabulary, context, width, layers, heads)
        }),
    }
}

/// How sentences become prompt–response pairs.
struct Pairs<'a> {
    codec: &'a Codec,
    cued: bool,
    /// What is allowed along the answers, where that is asked for.
    mask: Option<Rules>,
    /// In tokens.
    longest: usize,
    training: &'a Training,
}

/// What training can't learn from.
#[derive(Debug, Default)]
struct LeftOut {
    /// Examples longer than the longest.
    too_long: usize,
    /// Gold entities that are no candidate span.
    entities: usize,
}

impl Pairs<'_> {
    fn of(&self, sentences: &[Sentence]) -> (Vec<Example>, LeftOut) {
        let pairs: Vec<(Option<Example>, usize)> = sentences.par_iter().map(|sentence| self.pair(sentence)).collect();
        let too_long = pairs.iter().filter(|(example, _)| example.is_none()).count();
        let entities = pairs.iter().map(|(_, missed)| missed).sum();
        (pairs.into_iter().filter_map(|(example, _)| example).collect(), LeftOut { too_long, entities })
    }

    /// The example, unless it is too long, and the number of its entities that are no candidate span.
    fn pair(&self, sentence: &Sentence) -> (Option<Example>, usize) {
        let mut ids = prompt(self.codec, sentence, self.cued);
        let response = ids.len();
        let answer = self.codec.answer(sentence);
        if ids.len() + answer.len() > self.longest {
            return (None, 0);
        }
        let allowed = self.mask.map(|rules| allowed_along(self.codec, sentence, &answer, &rules));
        let marked = self.training.pl_marker.as_ref().map(|own| labelled(self.codec, sentence, &ids, own));
        let (spans, missed) = marked.unwrap_or_default();
        ids.extend(answer);
        (Some(Example { ids, response, allowed, spans }), missed)
    }
}

/// The allowed tokens at each position of the gold answer. Past a token that the rules forbid (an entity that cuts a
/// word) the automaton is lost: nothing is masked and nothing is learnt there.
fn allowed_along(codec: &Codec, sentence: &Sentence, answer: &[u32], rules: &Rules) -> Vec<Vec<u32>> {
    let automaton = codec.automaton(&sentence.text, rules);
    let mut state = Some(automaton.start());
    let mut scratch = Vec::new();
    answer
        .iter()
        .map(|&token| {
            let Some(at) = &mut state else { return vec![token] };
            let allowed = match automaton.allowed(at, &mut scratch) {
                inerd_decoding::Allowed::Only(tokens) => tokens.to_vec(),
                // Rules that leave the words free have no short list to choose from: nothing is learnt there.
                inerd_decoding::Allowed::Any | inerd_decoding::Allowed::Except(_) => vec![token],
            };
            if automaton.advance(at, token).is_err() {
                state = None;
                return vec![token];
            }
            allowed
        })
        .collect()
}

pub(crate) fn settings(training: &Training, seed: u64) -> Settings {
    Settings {
        epochs: training.epochs,
        max_steps: training.max_steps,
        patience: training.patience,
        batch: training.batch,
        micro_batch: training.micro_batch.unwrap_or(training.batch),
        learning_rate: training.lr,
        schedule: schedule(training.schedule, training.warmup, training.decay),
        weight_decay: training.weight_decay as f32,
        betas: (training.beta1 as f32, training.beta2 as f32),
        epsilon: 1e-8,
        clip: training.clip.map(|c| c as f32),
        loss: match training.loss {
            Loss::Response => inerd_training::Loss::Response,
            Loss::Masked => inerd_training::Loss::Allowed,
        },
        seed,
        checkpoint_every: training.checkpoint_every,
        co_regularization: (training.co_regularization.as_ref())
            .map(|own| CoRegularization { alpha: own.alpha, warmup: own.warmup }),
        // Its markers depend on the tokenizer and the schema.
        pl_marker: None,
    }
}

pub(crate) fn schedule(schedule: Schedule, warmup: f64, decay: f64) -> inerd_training::Schedule {
    match schedule {
        Schedule::Constant => inerd_training::Schedule::Constant { warmup },
        Schedule::Linear => inerd_training::Schedule::Linear { warmup },
        Schedule::Cosine => inerd_training::Schedule::Cosine { warmup },
        Schedule::Wsd => inerd_training::Schedule::Wsd { warmup, decay },
    }
}

/// Watches a training: writes its curve, tells its progress, validates, and hears a request to stop.
struct Watch<'a, 'b> {
    job: &'a mut Job<'b>,
    training: &'a Training,
    tokenizer: Arc<Tokenizer>,
    codec: Codec,
    cued: bool,
    valid: Vec<Sentence>,
    valid_examples: Vec<Example>,
    /// The span classifier's, where there is one.
    markers: Option<Markers>,
    epochs: usize,
    curve: Log,
    validation: Log,
}

impl Hooks for Watch<'_, '_> {
    fn on_step(&mut self, step: &Step) -> Flow {
        let written = self.curve.write(step);
        let message = format!("epoch {}/{} · loss {:.3}", step.epoch, self.epochs, step.loss);
        self.job.progress("step", step.step, step.total_steps, message);
        let stop = self.job.context.stop.load(Ordering::Relaxed);
        // A curve that can't be written ends the training through the checkpoint, which meets the same disk.
        if stop || written.is_err() { Flow::Stop } else { Flow::Continue }
    }

    fn validate(
        &mut self,
        model: &LanguageModel,
        epoch: usize,
    ) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>> {
        let valid = &self.training.valid;
        if self.valid.is_empty() || !epoch.is_multiple_of(valid.every.max(1)) {
            return Ok(None);
        }
        let score = match valid.metric {
            ValidMetric::None => return Ok(None),
            ValidMetric::Loss => {
                let loss = settings(self.training, 0).loss;
                -inerd_training::mean_loss(model, &self.valid_examples, loss, &self.job.context.device)
            }
            ValidMetric::F1 => {
                let rules = generate::rules(&valid.rules, Granularity::Token)?;
                let answering = Answering {
                    model,
                    tokenizer: &self.tokenizer,
                    codec: &self.codec,
                    rules,
                    cued: self.cued,
                    strategy: Strategy::Greedy,
                    max_new_tokens: valid.max_new_tokens,
                    gold_length: None,
                    batch: 32,
                };
                let (context, total) = (self.job.context, self.valid.len());
                let job = &mut *self.job;
                let mut progress = |done| job.progress("sentence", done, total, "validating".to_owned());
                let mut generations = answering.answer(&self.valid, context, &mut progress)?;
                if let (Some(settings), Some(markers)) = (&self.training.pl_marker, &self.markers) {
                    let (codec, cued, markers) = (&self.codec, self.cued, markers.clone());
                    let judge = Judge { model, codec, markers, settings, cued };
                    judge.judge(&self.valid, &mut generations, context, &mut |_| ())?;
                }
                score_spans(&self.valid, &generations)?.micro.prf.f1
            }
        };
        self.validation.write(&serde_json::json!({ "epoch": epoch, "metric": valid.metric, "score": score }))?;
        Ok(Some(score))
    }
}

/// A JSON-lines file that is appended to.
pub(crate) struct Log {
    file: fs::File,
}

impl Log {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = fs::OpenOptions::new().create(true).append(true).open(path).map_err(Error::store(path))?;
        Ok(Self { file })
    }

    pub(crate) fn write(&mut self, record: &impl serde::Serialize) -> std::io::Result<()> {
        use std::io::Write as _;
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}
