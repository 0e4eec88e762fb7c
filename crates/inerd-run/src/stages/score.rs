//! Gold and generations become every score.

use inerd_experiment::ScoreStage;
use inerd_metrics::ScoreReport;
use inerd_text::{Generation, Schema, Sentence};

use super::Job;
use super::corpus::SCHEMA;
use super::generate::{GENERATIONS, SENTENCES};
use crate::{Error, Store};

/// All scores of one set of generations.
pub const SCORES: &str = "scores.json";

pub(crate) fn work(job: &mut Job<'_>, stage: &ScoreStage) -> Result<(), Error> {
    let path = job.dir.join(SCORES);
    std::fs::write(&path, score(&job.context.store, stage)?).map_err(Error::store(&path))
}

/// The scores of stored generations, as JSON.
pub(crate) fn score(store: &Store, stage: &ScoreStage) -> Result<String, Error> {
    let corpus = store.get(stage.corpus)?;
    let gold: Vec<Sentence> = corpus.json_lines(SENTENCES)?;
    let schema: Schema = corpus.json(SCHEMA)?;
    let generations: Vec<Generation> = store.get(stage.generations)?.json_lines(GENERATIONS)?;
    Ok(ScoreReport::new(&gold, &generations, &schema)?.to_json()?)
}
