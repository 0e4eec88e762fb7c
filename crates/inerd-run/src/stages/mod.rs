//! The work of each kind of stage: inputs and parents' artefacts in, files in the staging folder out.

pub(crate) mod answer;
pub(crate) mod corpus;
pub(crate) mod generate;
pub(crate) mod pretrain;
pub(crate) mod score;
pub(crate) mod spans;
pub(crate) mod tokenizer;
pub(crate) mod train;
pub(crate) mod weights;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use inerd_experiment::{Fingerprint, Stage, StageKind};
use serde::Serialize;

use crate::Error;
use crate::run::{Context, Work};
use crate::store::Artefact;

/// One stage at work.
pub struct Job<'a> {
    pub stage: &'a Stage,
    pub context: &'a Context,
    /// The staging folder: what is written here becomes the artefact.
    pub dir: PathBuf,
    pub(crate) told: &'a dyn Fn(&Work),
    /// How often memory ran out before.
    pub(crate) halvings: u32,
    /// What the manifest tells about the work, by name.
    pub(crate) facts: BTreeMap<String, f64>,
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("stage", &self.stage.label).field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The real work of every kind of stage.
pub fn work(job: &mut Job<'_>) -> Result<(), Error> {
    match &job.stage.kind {
        StageKind::Tokenizer(stage) => tokenizer::work(job, stage),
        StageKind::Corpus(stage) => corpus::work(job, stage),
        StageKind::Pretrain(stage) => pretrain::work(job, stage),
        StageKind::Coarse(stage) | StageKind::Fine(stage) => train::work(job, stage),
        StageKind::Generate(stage) => generate::work(job, stage),
        StageKind::Score(stage) => score::work(job, stage),
    }
}

impl Job<'_> {
    /// A parent's artefact.
    pub(crate) fn parent(&self, id: Fingerprint) -> Result<Artefact, Error> {
        self.context.store.get(id)
    }

    pub fn fact(&mut self, name: &str, value: f64) {
        self.facts.insert(name.to_owned(), value);
    }

    pub fn progress(&self, what: &str, done: usize, total: usize, message: String) {
        (self.told)(&Work { what: what.to_owned(), done, total, message });
    }

    /// How many sequences are in the model at once: what the settings say, halved for each time that memory ran out.
    /// Training adds the gradients of the parts up, so that a step stays the same step.
    pub fn at_once(&self, most: usize) -> usize {
        (most >> self.halvings).max(1)
    }

    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let path = self.dir.join(name);
        let bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::store(&path)(e.into()))?;
        fs::write(&path, bytes).map_err(Error::store(&path))
    }

    pub(crate) fn write_json_lines<T: Serialize>(&self, name: &str, records: &[T]) -> Result<(), Error> {
        let path = self.dir.join(name);
        let file = File::create(&path).map_err(Error::store(&path))?;
        inerd_text::write_json_lines(BufWriter::new(file), records).map_err(Error::store(&path))
    }
}
