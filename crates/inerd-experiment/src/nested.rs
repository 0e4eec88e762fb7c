//! Nested sizes: which trainings begin with the same steps as a training on less of the same data.
//!
//! That is provable where the data come in one fixed order (`order = "nested"`), the learning rate of a step doesn't
//! depend on how many steps there will be, and nothing else differs. A constant schedule shares all steps of the
//! smaller training, a warm-up-stable-decay schedule those before its decay. Linear and cosine schedules share none.

use std::collections::BTreeMap;

use crate::canonical::canonical_json;
use crate::fingerprint::Fingerprint;
use crate::settings::{DataOrder, Schedule, Subset, Training, ValidMetric};
use crate::stage::{CorpusPart, Stage, StageKind, TrainStage};

/// Links every such stage to the next smaller one, and says how many tokens that saves.
pub(crate) fn link(stages: &mut [Stage]) {
    let corpora: BTreeMap<Fingerprint, String> =
        stages.iter().filter_map(|stage| Some((stage.id, without_size(&stage.kind)?))).collect();
    // Trainings that differ in the size of their data only, from small to large.
    let mut families: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, stage) in stages.iter().enumerate() {
        if let (StageKind::Coarse(train) | StageKind::Fine(train), true) = (&stage.kind, stage.work.sentences > 0.0)
            && steps_are_fixed(&train.settings)
            && let Some(corpus) = corpora.get(&train.corpus)
        {
            families.entry(family(train, corpus)).or_default().push(i);
        }
    }
    for mut members in families.into_values() {
        members.sort_by(|a, b| stages[*a].work.sentences.total_cmp(&stages[*b].work.sentences));
        for pair in members.windows(2) {
            let &[smaller, larger] = pair else { continue };
            let stable = match &stages[smaller].kind {
                StageKind::Coarse(train) | StageKind::Fine(train) if train.settings.schedule == Schedule::Wsd => {
                    1.0 - train.settings.decay
                }
                _ => 1.0,
            };
            let reused = stable * stages[smaller].work.trained.fewest;
            stages[larger].continues = Some(stages[smaller].id);
            stages[larger].work.reused = reused;
        }
    }
}

/// Whether the first steps don't depend on how many follow.
fn steps_are_fixed(settings: &Training) -> bool {
    let independent_warmup = settings.warmup_steps.is_some() || settings.warmup <= 0.0;
    let independent_end = settings.patience.is_none() || settings.valid.metric == ValidMetric::None;
    let schedule = matches!(settings.schedule, Schedule::Constant | Schedule::Wsd);
    // The agreement loss begins after a share of the steps.
    let techniques = settings.co_regularization.is_none();
    settings.order == DataOrder::Nested
        && settings.max_steps.is_none()
        && schedule
        && independent_warmup
        && independent_end
        && techniques
}

/// A training's identity without its data.
fn family(train: &TrainStage, corpus: &str) -> String {
    let same_data = TrainStage { corpus: Fingerprint::of("any"), ..train.clone() };
    format!("{}{corpus}", canonical_json(&StageKind::Fine(same_data).identity()))
}

/// A training corpus without its size; `None` where the size isn't that of a nested draw.
fn without_size(kind: &StageKind) -> Option<String> {
    let StageKind::Corpus(corpus) = kind else { return None };
    let mut corpus = corpus.clone();
    let CorpusPart::Train { subset, seed, .. } = &mut corpus.part else { return None };
    // Stratified and k-shot draws are nested as well, but not as beginnings of one another.
    if subset.shots.is_some() || subset.stratified {
        return None;
    }
    (*seed)?;
    *subset = Subset::default();
    Some(canonical_json(&StageKind::Corpus(corpus).identity()))
}
