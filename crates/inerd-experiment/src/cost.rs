//! What a stage will cost: time with an interval, peak memory, disk. Predicted from its [`Work`] and from rates, which
//! earlier runs correct.
//!
//! Time of a stage = start-up + Σ over its phases (tokens × (operations per token / rate + overhead per token)). The
//! operations are counted the usual way: 2 per parameter and token forward, 4 backward (2 where only adapters learn).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::decide::Decision;
use crate::fingerprint::Fingerprint;
use crate::plan::Plan;
use crate::stage::{Numerics, Stage, StageKind};
use crate::work::{Range, Work};

/// How fast a machine is. The defaults are those of two CPU cores and of one H200-class GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Floating-point operations per second in training and prefill.
    pub flops: f64,
    /// Seconds per trained token besides the arithmetic.
    pub per_token: f64,
    /// Seconds per decoded token besides the arithmetic.
    pub per_decoded: f64,
    /// Sentences per second that are read, merged, tokenised or scored.
    pub sentences: f64,
    /// Seconds until a stage begins to work.
    pub startup: f64,
}

impl Rates {
    /// Two CPU cores, f32: 2,000 trained tokens per second at 7 M parameters.
    pub const CPU: Self =
        Self { flops: 8.8e10, per_token: 3.2e-5, per_decoded: 6e-5, sentences: 20_000.0, startup: 0.1 };
    /// One large GPU, bf16, at a usual share of its peak.
    pub const CUDA: Self = Self { flops: 2e14, per_token: 1e-6, per_decoded: 2e-5, sentences: 20_000.0, startup: 3.0 };

    fn of(numerics: Option<Numerics>) -> &'static Self {
        match numerics {
            Some(Numerics::CudaBf16 | Numerics::CudaF32) => &Self::CUDA,
            _ => &Self::CPU,
        }
    }
}

/// Seconds between two bounds that hold nine times out of ten.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Seconds {
    pub low: f64,
    pub middle: f64,
    pub high: f64,
}

impl Seconds {
    /// The sum; bounds of a sum of many stages that are wrong together, not independently.
    fn add(self, other: Self) -> Self {
        Self { low: self.low + other.low, middle: self.middle + other.middle, high: self.high + other.high }
    }
}

/// What one stage will cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    pub seconds: Seconds,
    /// Bytes of memory at the peak: of the device where it computes on one.
    pub memory: f64,
    /// Bytes of the artefact.
    pub disk: f64,
}

/// A finished stage, as an event log has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The stage's kind: `fine`, `generate`, …
    pub kind: String,
    /// What [`Calibration::default`] had predicted (the middle), in seconds.
    pub predicted: f64,
    /// What it took, in seconds.
    pub seconds: f64,
}

impl Measured {
    /// Pairs a finished stage with its uncorrected prediction.
    pub fn new(stage: &Stage, seconds: f64) -> Self {
        let predicted = Calibration::default().cost(stage).seconds.middle;
        Self { kind: stage.kind.name().to_owned(), predicted, seconds }
    }
}

/// Corrections by stage kind, learnt from earlier runs on the same machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    kinds: BTreeMap<String, Correction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Correction {
    /// Measured over predicted (geometric mean).
    factor: f64,
    /// How far the next one may be off, as a factor either way.
    spread: f64,
    runs: usize,
}

/// How far an uncorrected prediction may be off, either way.
const UNCALIBRATED: f64 = 3.0;
/// Normal quantile of a 90 % interval.
const Z90: f64 = 1.645;

impl Calibration {
    /// Learns from earlier runs: per kind, the mean and the deviation of ln(measured / predicted). With few runs the
    /// deviation is pulled towards that of an uncorrected prediction, as if two runs had shown it.
    pub fn learn(runs: &[Measured]) -> Self {
        let mut logs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for run in runs {
            let ratio = (run.seconds / run.predicted).ln();
            if ratio.is_finite() {
                logs.entry(run.kind.clone()).or_default().push(ratio);
            }
        }
        let kinds = logs.into_iter().map(|(kind, logs)| {
            let n = logs.len() as f64;
            let mean = logs.iter().sum::<f64>() / n;
            let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
            let prior = (UNCALIBRATED.ln() / Z90).powi(2);
            let variance = (squares + 2.0 * prior) / (n + 1.0);
            let spread = (Z90 * (variance * (1.0 + 1.0 / n)).sqrt()).exp().min(UNCALIBRATED);
            (kind, Correction { factor: mean.exp(), spread, runs: logs.len() })
        });
        Self { kinds: kinds.collect() }
    }

    /// What earlier runs taught, and for kinds that they say nothing of, what a probe has measured.
    #[must_use]
    pub fn or_probed(mut self, probed: &[Measured]) -> Self {
        for (kind, correction) in Self::learn(probed).kinds {
            self.kinds.entry(kind).or_insert(correction);
        }
        self
    }

    /// The number of runs that were learnt from.
    pub fn runs(&self) -> usize {
        self.kinds.values().map(|correction| correction.runs).sum()
    }

    /// Predicts one stage.
    pub fn cost(&self, stage: &Stage) -> Cost {
        let known = self.kinds.get(stage.kind.name());
        let correction = known.copied().unwrap_or(Correction { factor: 1.0, spread: UNCALIBRATED, runs: 0 });
        let work = &stage.work;
        let seconds = raw_seconds(stage).times(correction.factor);
        let spread = if work.assumed { correction.spread * 2.0 } else { correction.spread };
        Cost {
            seconds: Seconds { low: seconds.fewest / spread, middle: seconds.middle(), high: seconds.most * spread },
            memory: memory(stage),
            disk: disk(stage),
        }
    }
}

fn numerics(stage: &Stage) -> Option<Numerics> {
    match &stage.kind {
        StageKind::Pretrain(pretrain) => Some(pretrain.numerics),
        StageKind::Coarse(train) | StageKind::Fine(train) => Some(train.numerics),
        StageKind::Generate(generate) => Some(generate.numerics),
        StageKind::Tokenizer(_) | StageKind::Corpus(_) | StageKind::Score(_) => None,
    }
}

fn raw_seconds(stage: &Stage) -> Range {
    let work = &stage.work;
    let rates = Rates::of(numerics(stage));
    let parameters = work.model.parameters;
    let backward = if work.adapters { 2.0 } else { 4.0 };
    let train_token = (2.0 + backward) * parameters / rates.flops + rates.per_token;
    let read_token = 2.0 * parameters / rates.flops + rates.per_token / 3.0;
    let write_token = 2.0 * parameters / rates.flops + rates.per_decoded;
    Range::exactly(rates.startup + work.sentences / rates.sentences)
        .plus(work.trained.less(work.reused).times(train_token * work.copies))
        .plus(work.prefilled.times(read_token))
        .plus(work.decoded.times(write_token))
}

/// Bytes of a number in the model.
fn width(numerics: Option<Numerics>) -> f64 {
    match numerics {
        Some(Numerics::CpuBf16 | Numerics::CudaBf16) => 2.0,
        _ => 4.0,
    }
}

/// Peak memory: weights, gradients, two moments, and the activations that the backward pass keeps
/// (per token and layer about 34 widths; Korthikanti et al. 2022, without the attention term, which is recomputed).
fn memory(stage: &Stage) -> f64 {
    const PROGRAM: f64 = 6e7;
    let Work { model, tokens_at_once, copies, adapters, .. } = &stage.work;
    let bytes = width(numerics(stage));
    match &stage.kind {
        StageKind::Pretrain(_) | StageKind::Coarse(_) | StageKind::Fine(_) => {
            let weights = model.parameters * bytes;
            // Master weights, gradients and moments in f32, of what is trained.
            let trained = if *adapters { 0.005 } else { 1.0 } * model.parameters;
            let master = if bytes < 4.0 { 4.0 } else { 0.0 };
            let activations = tokens_at_once * (model.layers * 34.0 + 4.0) * model.width * bytes;
            PROGRAM + weights + copies * trained * (12.0 + master) + activations
        }
        StageKind::Generate(_) => {
            let cache = tokens_at_once * model.layers * 2.0 * model.width * bytes;
            PROGRAM + model.parameters * bytes + cache
        }
        // Sentences in memory, about 1 kB each.
        StageKind::Tokenizer(_) | StageKind::Corpus(_) | StageKind::Score(_) => PROGRAM + 1000.0 * stage.work.sentences,
    }
}

fn disk(stage: &Stage) -> f64 {
    let work = &stage.work;
    match &stage.kind {
        StageKind::Tokenizer(tokenizer) => 50.0 * tokenizer.vocabulary as f64,
        StageKind::Corpus(_) => 250.0 * work.sentences,
        StageKind::Pretrain(_) => 4.0 * work.model.parameters,
        StageKind::Coarse(train) | StageKind::Fine(train) if work.adapters => {
            // Two low-rank matrices for each of four projections of every layer.
            4.0 * work.copies * work.model.layers * 4.0 * 2.0 * work.model.width * train.settings.lora.rank as f64
        }
        StageKind::Coarse(_) | StageKind::Fine(_) => 4.0 * work.copies * work.model.parameters,
        StageKind::Generate(_) => 300.0 * work.sentences,
        StageKind::Score(_) => 20_000.0,
    }
}

/// What a plan will cost, and what it saves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Stages by kind.
    pub kinds: BTreeMap<String, KindSummary>,
    /// All stages, whether they still have to run or not.
    pub all: Seconds,
    /// The stages that will run.
    pub to_run: Seconds,
    /// Every cell on its own, nothing shared.
    pub one_by_one: Seconds,
    /// The largest peak memory of a stage that will run, in bytes.
    pub memory: f64,
    /// Disk for the artefacts of the stages that will run, in bytes.
    pub disk: f64,
}

/// The stages of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KindSummary {
    pub stages: usize,
    pub to_run: usize,
    pub done: usize,
    pub blocked: usize,
    pub seconds: Seconds,
}

impl Summary {
    /// Adds up a plan; `decisions` stand in the plan's order.
    pub fn new(plan: &Plan, decisions: &[Decision], calibration: &Calibration) -> Self {
        let mut out = Self::default();
        // What a stage costs with everything behind it, and the stages behind it.
        let mut costs: BTreeMap<Fingerprint, Seconds> = BTreeMap::new();
        for (i, stage) in plan.stages.iter().enumerate() {
            let cost = calibration.cost(stage);
            // On its own, a stage has nothing to go on from.
            let whole = match stage.continues {
                Some(_) => {
                    let mut own = stage.clone();
                    own.work.reused = 0.0;
                    calibration.cost(&own).seconds
                }
                None => cost.seconds,
            };
            costs.insert(stage.id, whole);
            let decision = decisions.get(i).copied();
            let kind = out.kinds.entry(stage.kind.name().to_owned()).or_default();
            kind.stages += 1;
            kind.seconds = kind.seconds.add(cost.seconds);
            out.all = out.all.add(cost.seconds);
            match decision {
                Some(decision) if decision.works() => {
                    kind.to_run += 1;
                    out.to_run = out.to_run.add(cost.seconds);
                    out.memory = out.memory.max(cost.memory);
                    out.disk += cost.disk;
                }
                Some(Decision::Skip(_)) => kind.done += 1,
                Some(Decision::Blocked(_)) => kind.blocked += 1,
                _ => {}
            }
        }
        let by_id: BTreeMap<Fingerprint, &Stage> = plan.stages.iter().map(|stage| (stage.id, stage)).collect();
        let mut alone: BTreeMap<Fingerprint, Seconds> = BTreeMap::new();
        for cell in &plan.cells {
            let total = alone.entry(cell.score).or_insert_with(|| behind(cell.score, &by_id, &costs));
            out.one_by_one = out.one_by_one.add(*total);
        }
        out
    }

    /// The plan's cost as a share of the cost of its cells one by one.
    pub fn share(&self) -> f64 {
        if self.one_by_one.middle > 0.0 { self.all.middle / self.one_by_one.middle } else { 1.0 }
    }
}

/// Seconds that the stages of a plan took, each once, and what they would have taken had every cell been run on its own:
/// what sharing has saved, once stages are measured. Cells with a stage that `seconds` doesn't know are left out.
pub fn shared(plan: &Plan, seconds: impl Fn(&Stage) -> Option<f64>) -> (f64, f64) {
    let by_id: BTreeMap<Fingerprint, &Stage> = plan.stages.iter().map(|stage| (stage.id, stage)).collect();
    let known: BTreeMap<Fingerprint, f64> = plan.stages.iter().filter_map(|s| Some((s.id, seconds(s)?))).collect();
    let costs: BTreeMap<Fingerprint, Seconds> = (known.iter())
        .map(|(id, seconds)| (*id, Seconds { low: *seconds, middle: *seconds, high: *seconds }))
        .collect();
    let mut used = BTreeSet::new();
    let mut one_by_one = 0.0;
    for cell in &plan.cells {
        let ids = ancestors(cell.score, &by_id);
        if ids.iter().all(|id| known.contains_key(id)) {
            one_by_one += behind(cell.score, &by_id, &costs).middle;
            used.extend(ids);
        }
    }
    (used.iter().filter_map(|id| known.get(id)).sum(), one_by_one)
}

/// What a stage costs with all its ancestors, each once.
fn behind(id: Fingerprint, stages: &BTreeMap<Fingerprint, &Stage>, costs: &BTreeMap<Fingerprint, Seconds>) -> Seconds {
    let all = ancestors(id, stages);
    all.iter().fold(Seconds::default(), |total, id| total.add(costs.get(id).copied().unwrap_or_default()))
}

/// A stage and all its ancestors.
fn ancestors(id: Fingerprint, stages: &BTreeMap<Fingerprint, &Stage>) -> BTreeSet<Fingerprint> {
    let mut open = vec![id];
    let mut seen = BTreeSet::from([id]);
    while let Some(id) = open.pop() {
        for parent in stages.get(&id).map(|stage| stage.parents.as_slice()).unwrap_or_default() {
            if seen.insert(*parent) {
                open.push(*parent);
            }
        }
    }
    seen
}
