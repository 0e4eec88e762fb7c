//! The work of each kind of stage: inputs and parents' artefacts in, files in the staging folder out.

pub(crate) mod answer;
pub(crate) mod corpus;
pub(crate) mod generate;
pub(crate) mod pretrain;
pub(crate) mod score;
pub(crate) mod spans;
pub(crate) mod tokenizer;
pub(crate) mod train;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use inerd_experiment::{Fingerprint, Stage, StageKind};
use serde::Serialize;

use crate::Error;
use crate::run::{Context, Observer, Work};
use crate::store::Artefact;

/// One stage at work.
pub(crate) struct Job<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) context: &'a Context,
    /// The staging folder.
    pub(crate) dir: PathBuf,
    pub(crate) observer: &'a mut dyn Observer,
    /// What the manifest tells about the work, by name.
    pub(crate) facts: BTreeMap<String, f64>,
}

pub(crate) fn work(job: &mut Job<'_>) -> Result<(), Error> {
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

    pub(crate) fn fact(&mut self, name: &str, value: f64) {
        self.facts.insert(name.to_owned(), value);
    }

    pub(crate) fn progress(&mut self, what: &'static str, done: usize, total: usize, message: String) {
        self.observer.work(&Work { what, done, total, message });
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
