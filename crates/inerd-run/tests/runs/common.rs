//! Plans of stages that do next to nothing, and what works them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use inerd_experiment::{Cell, Fingerprint, Plan, Score, ScoreStage, Space, Stage, StageKind, TokenizerStage, Work};
use inerd_run::{Context, Device, Error, FileInputs, Job, Options, Patience, Store};

/// A stage that reads nothing.
pub(crate) fn root(n: usize) -> StageKind {
    StageKind::Tokenizer(TokenizerStage { vocabulary: n, datasets: Vec::new(), corpora: Vec::new() })
}

/// A stage that reads two others: a score, so that a run asks for it.
pub(crate) fn score(a: Fingerprint, b: Fingerprint) -> StageKind {
    StageKind::Score(ScoreStage { settings: Score::default(), generations: a, corpus: b })
}

pub(crate) fn stage(kind: StageKind, label: &str) -> Stage {
    let id = kind.fingerprint(Space::Real);
    let parents = kind.parents();
    Stage { id, kind, parents, label: label.to_owned(), missing: Vec::new(), continues: None, work: Work::default() }
}

pub(crate) fn plan_of(stages: Vec<Stage>) -> Plan {
    let scores = stages.iter().filter(|stage| Plan::is_score(stage));
    let cells = scores.zip(1..).map(|(stage, seed)| Cell {
        arm: "arm".to_owned(),
        point: BTreeMap::new(),
        dataset: "none".to_owned(),
        seed,
        score: stage.id,
        lineage: Vec::new(),
    });
    let cells = cells.collect();
    Plan { format: Plan::FORMAT, experiment: "idle".to_owned(), space: Space::Real, stages, cells }
}

/// `pairs` roots, and behind each a score that reads it.
pub(crate) fn pairs(pairs: usize) -> Plan {
    let mut stages = Vec::new();
    for n in 0..pairs {
        let root = stage(root(n), &format!("root {n}"));
        let id = root.id;
        stages.push(root);
        stages.push(stage(score(id, id), &format!("score {n}")));
    }
    plan_of(stages)
}

pub(crate) fn context(store: &Path) -> Context {
    Context {
        store: Store::open(store).unwrap(),
        inputs: FileInputs::default(),
        device: Device::flex(),
        device_name: "cpu".to_owned(),
        stop: Arc::default(),
    }
}

/// Without pauses before further attempts.
pub(crate) fn impatient() -> Options {
    Options { patience: Patience { attempts: 3, pause: Duration::ZERO }, ..Options::default() }
}

/// `workers` workers on the CPU.
pub(crate) fn workers(context: &Context, workers: usize) -> Options {
    Options { devices: vec![(context.device.clone(), "cpu".to_owned()); workers], ..impatient() }
}

/// Writes the stage's label, and counts.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<BTreeMap<String, usize>>);

impl Counter {
    pub(crate) fn work(&self, job: &mut Job<'_>) -> Result<(), Error> {
        *self.0.lock().unwrap().entry(job.stage.label.clone()).or_default() += 1;
        let path = job.dir.join("file.txt");
        std::fs::write(&path, &job.stage.label).map_err(|source| Error::Store { path, source })
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn total(&self) -> usize {
        self.counts().values().sum()
    }
}
