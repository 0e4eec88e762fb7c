//! Settings as a stage needs them: everything that other keys switch off, or that stands elsewhere in the stage, is at
//! its default, so that it takes no part in the stage's identity.

use crate::define::Names;
use crate::settings::{
    DataOrder, Generate, Lora, LoraMode, Loss, Merge, Model, ModelKind, PlMarker, Precision, Pretrain, Rules, Schedule,
    Sharing, Strategy, Subset, Training, ValidMetric,
};

/// Above this many parameters, `lora.mode = "auto"` trains adapters (the paper's practice).
const ADAPTERS_ABOVE: f64 = 3e9;

/// A pretrained model's shape is its own; what the file says about shapes is switched off.
pub(crate) fn shape(model: &Model) -> Model {
    match model.kind {
        ModelKind::Scratch => Model { path: None, ..model.clone() },
        ModelKind::Pretrained => Model { kind: ModelKind::Pretrained, ..Model::default() },
    }
}

pub(crate) fn pretrain(stage: &Pretrain) -> Pretrain {
    let mut own = stage.clone();
    own.seed = None;
    own.corpora = Names::default();
    own.precision = Precision::Auto;
    if own.schedule != Schedule::Wsd {
        own.decay = 0.0;
    }
    if own.schedule == Schedule::Constant {
        own.final_lr = 0.0;
    }
    own
}

pub(crate) fn training(stage: &Training, parameters: f64) -> Training {
    let mut own = stage.clone();
    own.enabled = true;
    own.datasets = Names::default();
    own.max_datasets = None;
    own.subset = Subset::default();
    own.seed = None;
    own.precision = Precision::Auto;
    own.share = Sharing::Auto;
    if own.warmup_steps.is_some() {
        own.warmup = 0.0;
    }
    // Copies agree on what is allowed, whatever the loss of a token is.
    if own.loss == Loss::Response && own.co_regularization.is_none() {
        own.mask = Rules::preset("exact");
    }
    if own.schedule != Schedule::Wsd {
        own.decay = 0.0;
    }
    if own.schedule == Schedule::Constant {
        own.final_lr = 0.0;
    }
    let adapters = match own.lora.mode {
        LoraMode::On => true,
        LoraMode::Off => false,
        LoraMode::Auto => parameters > ADAPTERS_ABOVE,
    };
    own.lora = if adapters {
        Lora { mode: LoraMode::On, ..own.lora }
    } else {
        Lora { mode: LoraMode::Off, ..Lora::default() }
    };
    // Verdicts on entities are a matter of decoding: arms that differ in them share the training, unless its validation
    // decodes, too.
    if own.valid.metric != ValidMetric::F1 {
        let defaults = PlMarker::default();
        own.pl_marker = own.pl_marker.map(|markers| PlMarker {
            veto: defaults.veto,
            rescore: defaults.rescore,
            propose: defaults.propose,
            threshold: defaults.threshold,
            ..markers
        });
    }
    own
}

/// The span classifier's part in decoding; `None` where it has no say.
pub(crate) fn verdicts(markers: &PlMarker) -> Option<PlMarker> {
    let defaults = PlMarker::default();
    let PlMarker { veto, rescore, propose, .. } = *markers;
    (veto || rescore || propose).then(|| PlMarker {
        weight: defaults.weight,
        negatives: defaults.negatives,
        threshold: if veto || propose { markers.threshold } else { defaults.threshold },
        ..markers.clone()
    })
}

/// What a training corpus takes of its datasets, and the seed of the draws where anything is drawn.
///
/// Weights and temperature say nothing about a single dataset, and a cap on it is a cap on the whole.
pub(crate) fn sampling(merge: &Merge, stage: &Training, names: &[String], seed: u64) -> (Merge, Subset, Option<u64>) {
    let subset = &stage.subset;
    let mut merge = merge.clone();
    let mut own = subset.clone();
    if names.len() < 2 {
        merge.temperature = 1.0;
        merge.weights.clear();
        if is(own.fraction, 1.0) {
            let cap = merge.cap.take();
            own.max_sentences = match (own.max_sentences, cap) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    merge.weights.retain(|name, weight| names.contains(name) && !is(*weight, 1.0));
    let partial = !is(own.fraction, 1.0) || own.max_sentences.is_some() || own.shots.is_some();
    let resampled = merge.cap.is_some() || !merge.weights.is_empty() || !is(merge.temperature, 1.0);
    if !partial {
        own = Subset::default();
    }
    own.seed = None;
    // In a nested order even the whole is a draw: its order is that of the smaller sizes.
    let ordered = stage.order == DataOrder::Nested;
    (merge, own, (partial || resampled || ordered).then(|| subset.seed.unwrap_or(seed)))
}

/// Decoding settings, and the seed where anything is drawn.
pub(crate) fn decoding(generate: &Generate, seed: u64) -> (Generate, Option<u64>) {
    let defaults = Generate::default();
    let has = |rule: &str| generate.rules.iter().any(|known| known == rule);
    let mut own = generate.clone();
    own.seed = None;
    own.datasets = Names::default();
    if own.strategy != Strategy::Beam {
        own.beams = defaults.beams;
    }
    if own.strategy != Strategy::Sample {
        own.temperature = defaults.temperature;
    }
    if !has("max-span") {
        own.max_span = defaults.max_span;
    }
    if !has("max-entities") {
        own.max_entities = defaults.max_entities;
    }
    if own.rules.is_none() {
        own.granularity = defaults.granularity;
        own.types = defaults.types;
        own.audit = defaults.audit;
    }
    let seed = (own.strategy == Strategy::Sample).then(|| generate.seed.unwrap_or(seed));
    (own, seed)
}

/// Exactly equal: these numbers were written in a file, not computed.
fn is(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
}
