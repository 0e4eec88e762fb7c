//! Trains a byte-level BPE on what the models of an experiment will read and write.

use inerd_experiment::TokenizerStage;
use inerd_lm::Tokenizer;

use super::{Job, pretrain};
use crate::Error;

/// The tokenizer of a tokenizer or model artefact.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

pub(crate) fn work(job: &mut Job<'_>, stage: &TokenizerStage) -> Result<(), Error> {
    let mut texts = Vec::new();
    for dataset in &stage.datasets {
        job.context.inputs.unchanged("dataset", dataset)?;
        let card = job.context.inputs.card(&dataset.name)?;
        let corpus = inerd_corpus::load(&card, job.context.inputs.data_dir.as_deref())?;
        texts.extend(corpus.train.into_iter().map(|s| s.text));
        // Type names are written in every answer: they deserve tokens as much as the sentences do.
        texts.extend(corpus.schema.types().iter().map(|t| format!(" {t}")));
    }
    for corpus in &stage.corpora {
        texts.extend(pretrain::text(job, corpus)?.split_inclusive('\n').map(str::to_owned));
    }
    let tokenizer = Tokenizer::train_bpe(texts.iter().map(String::as_str), stage.vocabulary)?;
    job.fact("vocabulary", tokenizer.vocab_size() as f64);
    tokenizer.save(&job.dir.join(TOKENIZER))?;
    Ok(())
}
