//! Gold and generations become every score.

use inerd_experiment::ScoreStage;
use inerd_metrics::ScoreReport;
use inerd_metrics::analysis::Training;
use inerd_text::{Generation, Schema, Sentence};

use super::Job;
use super::corpus::{SCHEMA, TRAIN};
use super::generate::{GENERATIONS, SENTENCES};
use crate::Error;

/// All scores of one set of generations.
pub const SCORES: &str = "scores.json";

pub(crate) fn work(job: &mut Job<'_>, stage: &ScoreStage) -> Result<(), Error> {
    let corpus = job.parent(stage.corpus)?;
    let gold: Vec<Sentence> = corpus.json_lines(SENTENCES)?;
    let schema: Schema = corpus.json(SCHEMA)?;
    let generations: Vec<Generation> = job.parent(stage.generations)?.json_lines(GENERATIONS)?;
    let mut training: Vec<Sentence> = Vec::new();
    for id in &stage.training_corpora {
        training.extend(job.parent(*id)?.json_lines::<Sentence>(TRAIN)?);
    }
    let report = if stage.training_corpora.is_empty() {
        ScoreReport::new(&gold, &generations, &schema)?
    } else {
        ScoreReport::with_training(&gold, &generations, &schema, &Training::new(&training))?
    };
    let path = job.dir.join(SCORES);
    std::fs::write(&path, report.to_json()?).map_err(Error::store(&path))
}
