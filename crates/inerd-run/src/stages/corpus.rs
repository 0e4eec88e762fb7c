//! Datasets become the sentences of one training, or of one decoding.

use std::collections::{BTreeMap, BTreeSet};

use inerd_corpus::{Corpus, Sameness, merge};
use inerd_experiment::{CorpusPart, CorpusStage, InputRef, Merge, Split, Subset, TypeNames, Unit};
use inerd_text::Sentence;
use rand::seq::IndexedRandom;

use super::Job;
use super::generate::SENTENCES;
use crate::Error;

/// The training sentences of a corpus artefact.
pub(crate) const TRAIN: &str = "train.jsonl";
/// The validation sentences of a corpus artefact.
pub(crate) const VALID: &str = "valid.jsonl";
/// The types of a corpus artefact.
pub(crate) const SCHEMA: &str = "schema.json";
/// What merging did: sizes, types, removed sentences.
const MERGE: &str = "merge.json";

pub(crate) fn work(job: &mut Job<'_>, stage: &CorpusStage) -> Result<(), Error> {
    match &stage.part {
        CorpusPart::Held { split, max_sentences, valid_fraction } => {
            let mut recipe = recipe(&stage.merge, 0);
            recipe.decontaminate = None;
            let corpora = load(job, &stage.datasets, *valid_fraction)?;
            for corpus in &corpora {
                let (held, split) = match split {
                    Split::Test => (&corpus.test, "test"),
                    Split::Valid => (&corpus.valid, "validation"),
                };
                not_empty(corpus, held, split)?;
            }
            let (merged, _) = merge("held out", corpora, &recipe)?;
            let sentences = if *split == Split::Test { merged.test } else { merged.valid };
            let sentences = fixed_draw(sentences, *max_sentences);
            job.fact("sentences", sentences.len() as f64);
            job.write_json(SCHEMA, &merged.schema)?;
            job.write_json_lines(SENTENCES, &sentences)
        }
        CorpusPart::Train { subset, max_valid, valid_fraction, decontaminate, seed, valid_is_test } => {
            let seed = seed.unwrap_or(0);
            let mut recipe = recipe(&stage.merge, seed);
            let mut corpora = load(job, &stage.datasets, *valid_fraction)?;
            for corpus in &mut corpora {
                not_empty(corpus, &corpus.train, "training")?;
                if *valid_is_test {
                    corpus.valid.clone_from(&corpus.test);
                }
            }
            // Datasets that are only tested on take part for the sake of their test sentences.
            let trained: BTreeSet<&str> = stage.datasets.iter().map(|d| d.name.as_str()).collect();
            let others: Vec<InputRef> =
                decontaminate.iter().filter(|d| !trained.contains(d.name.as_str())).cloned().collect();
            recipe.leave_out = others.iter().map(|d| d.name.clone()).collect();
            recipe.decontaminate = (!decontaminate.is_empty()).then_some(Sameness::Near(0.8));
            corpora.extend(load(job, &others, 0.0)?);
            let (merged, report) = merge("train", corpora, &recipe)?;
            let train = chosen(subset, seed).choose(merged.train);
            let valid = fixed_draw(merged.valid, *max_valid);
            if train.is_empty() {
                let dataset = stage.datasets.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(Error::EmptySplit { dataset, split: "training".to_owned() });
            }
            job.fact("sentences", train.len() as f64);
            job.fact("removed_as_held_out", report.removed.len() as f64);
            job.write_json(SCHEMA, &merged.schema)?;
            job.write_json(MERGE, &report)?;
            job.write_json_lines(TRAIN, &train)?;
            job.write_json_lines(VALID, &valid)
        }
    }
}

fn not_empty(corpus: &Corpus, sentences: &[Sentence], split: &str) -> Result<(), Error> {
    if sentences.is_empty() {
        return Err(Error::EmptySplit { dataset: corpus.name.clone(), split: split.to_owned() });
    }
    Ok(())
}

fn recipe(merge: &Merge, seed: u64) -> inerd_corpus::Merge {
    inerd_corpus::Merge {
        types: match merge.types {
            TypeNames::Unify => inerd_corpus::TypeNames::Unify,
            TypeNames::Keep => inerd_corpus::TypeNames::Keep,
            TypeNames::Prefix => inerd_corpus::TypeNames::Prefix,
        },
        map: merge.map.clone(),
        weights: merge.weights.clone(),
        cap: merge.cap,
        temperature: merge.temperature,
        decontaminate: None,
        leave_out: BTreeSet::new(),
        seed,
    }
}

fn chosen(subset: &Subset, seed: u64) -> inerd_corpus::Subset {
    inerd_corpus::Subset {
        fraction: subset.fraction,
        unit: match subset.unit {
            Unit::Sentences => inerd_corpus::Unit::Sentences,
            Unit::Tokens => inerd_corpus::Unit::Tokens,
        },
        max_sentences: subset.max_sentences,
        shots: subset.shots,
        stratified: subset.stratified,
        seed,
    }
}

/// The datasets in order. Where one has no validation split, a fixed share of its training sentences becomes one.
fn load(job: &Job<'_>, datasets: &[InputRef], valid_fraction: f64) -> Result<Vec<Corpus>, Error> {
    let mut corpora = Vec::with_capacity(datasets.len());
    for dataset in datasets {
        job.context.inputs.unchanged("dataset", dataset)?;
        let card = job.context.inputs.card(&dataset.name)?;
        let mut corpus = inerd_corpus::load(&card, job.context.inputs.data_dir.as_deref())?;
        if corpus.valid.is_empty() {
            let count = (corpus.train.len() as f64 * valid_fraction).round() as usize;
            corpus.valid = fixed_draw(corpus.train.clone(), Some(count));
            let held: BTreeSet<&str> = corpus.valid.iter().map(|s| s.id.as_str()).collect();
            corpus.train.retain(|s| !held.contains(s.id.as_str()));
        }
        corpora.push(corpus);
    }
    Ok(corpora)
}

/// At most `limit` sentences of each dataset, the same for every arm and seed, in their order.
fn fixed_draw(sentences: Vec<Sentence>, limit: Option<usize>) -> Vec<Sentence> {
    let Some(limit) = limit else { return sentences };
    let mut by_dataset: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (position, sentence) in sentences.iter().enumerate() {
        by_dataset.entry(sentence.id.split('/').next().unwrap_or_default()).or_default().push(position);
    }
    let mut chosen = BTreeSet::new();
    for (dataset, positions) in by_dataset {
        let mut rng = inerd_lm::random::stream(0, &format!("held-out draw of {dataset}"));
        chosen.extend(positions.sample(&mut rng, limit.min(positions.len())).copied());
    }
    sentences.into_iter().enumerate().filter(|(i, _)| chosen.contains(i)).map(|(_, s)| s).collect()
}
