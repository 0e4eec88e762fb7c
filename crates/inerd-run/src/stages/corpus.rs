//! Datasets become the sentences of one training, or of one decoding.

use std::collections::BTreeSet;

use inerd_corpus::{Card, Corpus};
use inerd_experiment::{CorpusPart, CorpusStage, InputRef, Merge, Split, Subset, TypeNames};
use inerd_text::{Schema, Sentence};
use rand::seq::{IndexedRandom, SliceRandom};

use super::Job;
use super::generate::SENTENCES;
use crate::Error;

/// The training sentences of a corpus artefact.
pub(crate) const TRAIN: &str = "train.jsonl";
/// The validation sentences of a corpus artefact.
pub(crate) const VALID: &str = "valid.jsonl";
/// The types of a corpus artefact.
pub(crate) const SCHEMA: &str = "schema.json";

pub(crate) fn work(job: &mut Job<'_>, stage: &CorpusStage) -> Result<(), Error> {
    unsupported(&stage.merge, stage.datasets.len())?;
    let corpora =
        stage.datasets.iter().map(|dataset| load(job, dataset, &stage.merge)).collect::<Result<Vec<_>, _>>()?;
    job.write_json(SCHEMA, &Schema::union(corpora.iter().map(|c| &c.schema)))?;
    match &stage.part {
        CorpusPart::Held { split, max_sentences, .. } => {
            let mut sentences: Vec<Sentence> = Vec::new();
            for corpus in corpora {
                let (held, name) = match split {
                    Split::Test => (corpus.test, "test"),
                    Split::Valid => (corpus.valid, "validation"),
                };
                if held.is_empty() {
                    return Err(Error::EmptySplit { dataset: corpus.name, split: name.to_owned() });
                }
                sentences.extend(fixed_draw(held, *max_sentences));
            }
            job.fact("sentences", sentences.len() as f64);
            job.write_json_lines(SENTENCES, &sentences)
        }
        CorpusPart::Train { subset, max_valid, decontaminate, seed, valid_is_test, .. } => {
            let held_out = held_out(job, decontaminate)?;
            let (mut train, mut valid) = (Vec::new(), Vec::new());
            for corpus in corpora {
                if corpus.train.is_empty() {
                    return Err(Error::EmptySplit { dataset: corpus.name, split: "training".to_owned() });
                }
                train.extend(corpus.train);
                valid.extend(fixed_draw(if *valid_is_test { corpus.test } else { corpus.valid }, *max_valid));
            }
            let before = train.len();
            train.retain(|s: &Sentence| !held_out.contains(s.text.as_str()));
            job.fact("removed_as_test_sentences", (before - train.len()) as f64);
            let train = draw(train, subset, seed.unwrap_or(0))?;
            job.fact("sentences", train.len() as f64);
            job.write_json_lines(TRAIN, &train)?;
            job.write_json_lines(VALID, &valid)
        }
    }
}

fn unsupported(merge: &Merge, datasets: usize) -> Result<(), Error> {
    let plain = merge.weights.is_empty() && merge.cap.is_none() && (merge.temperature - 1.0).abs() < f64::EPSILON;
    if datasets > 1 && !plain {
        return Err(Error::Unsupported("`data.merge.weights`, `cap` and `temperature` are not there yet".to_owned()));
    }
    if merge.types == TypeNames::Prefix {
        return Err(Error::Unsupported("`data.merge.types = \"prefix\"` is not there yet".to_owned()));
    }
    Ok(())
}

fn load(job: &Job<'_>, dataset: &InputRef, merge: &Merge) -> Result<Corpus, Error> {
    let card = Card::find(&dataset.name, None)?;
    let mut corpus = inerd_corpus::load(&card, job.context.inputs.data_dir.as_deref())?;
    let rename = |kind: &str| merge.map.get(kind).cloned().unwrap_or_else(|| kind.to_owned());
    corpus.schema = Schema::new(corpus.schema.types().iter().map(|t| rename(t)));
    for sentence in corpus.train.iter_mut().chain(&mut corpus.valid).chain(&mut corpus.test) {
        for entity in &mut sentence.entities {
            entity.kind = rename(&entity.kind);
        }
    }
    Ok(corpus)
}

/// The texts of all test sentences that training must not see.
fn held_out(job: &Job<'_>, datasets: &[InputRef]) -> Result<BTreeSet<String>, Error> {
    let mut texts = BTreeSet::new();
    for dataset in datasets {
        let corpus = load(job, dataset, &Merge::default())?;
        texts.extend(corpus.test.into_iter().map(|s| s.text));
    }
    Ok(texts)
}

/// At most `limit` sentences, the same for every arm and seed, in the order of the dataset.
fn fixed_draw(sentences: Vec<Sentence>, limit: Option<usize>) -> Vec<Sentence> {
    let Some(limit) = limit.filter(|&limit| limit < sentences.len()) else { return sentences };
    let order: Vec<usize> = (0..sentences.len()).collect();
    let mut rng = inerd_lm::random::stream(0, "held-out draw");
    let chosen: BTreeSet<usize> = order.sample(&mut rng, limit).copied().collect();
    sentences.into_iter().enumerate().filter(|(i, _)| chosen.contains(i)).map(|(_, s)| s).collect()
}

/// The first sentences of one shuffled order, so that smaller subsets lie in larger ones of the same seed.
fn draw(mut train: Vec<Sentence>, subset: &Subset, seed: u64) -> Result<Vec<Sentence>, Error> {
    if subset.shots.is_some() || subset.stratified {
        return Err(Error::Unsupported("`subset.shots` and `subset.stratified` are not there yet".to_owned()));
    }
    let share = (train.len() as f64 * subset.fraction).ceil() as usize;
    let keep = subset.max_sentences.map_or(share, |max| max.min(share));
    if keep < train.len() {
        train.shuffle(&mut inerd_lm::random::stream(seed, "subset"));
        train.truncate(keep);
    }
    Ok(train)
}
