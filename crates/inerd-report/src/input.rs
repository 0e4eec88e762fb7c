//! All that a report is made from. Whoever calls fills it from the store; nothing here reads a store, a model or a
//! clock, so the same input gives the same bytes.

use std::collections::BTreeMap;

use inerd_metrics::ScoreReport;
use inerd_text::{Generation, Sentence};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportInput {
    pub experiment: Experiment,
    /// One per arm, setting, dataset and seed that the experiment declares, also where nothing came of it.
    pub cells: Vec<Cell>,
    /// The gold sentences of every tested dataset, for the sentence browser; may be empty.
    #[serde(default)]
    pub gold: Vec<GoldSet>,
    #[serde(default)]
    pub provenance: Provenance,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// The experiment file's stem; the report's folder.
    pub name: String,
    /// The report's heading; the name where it is empty.
    #[serde(default)]
    pub title: String,
    pub question: String,
    /// The arm that all others are compared with.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The arms that the question is about; all but the baseline where it is empty.
    #[serde(default)]
    pub contrast: Vec<String>,
    /// `f1.<convention>`, for instance `f1.span`.
    pub metric: String,
    /// The smallest difference worth claiming, in points (0 to 100).
    #[serde(default)]
    pub min_effect: Option<f64>,
    /// The seeds that every cell should have.
    pub seeds: Vec<u64>,
}

/// One arm at one setting on one dataset with one seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub arm: String,
    /// Where the arm is a grid: the axes' values, without dataset and seed.
    #[serde(default)]
    pub axes: BTreeMap<String, String>,
    /// The dataset that the cell is tested on.
    pub dataset: String,
    pub seed: u64,
    /// Name of the training that the cell shares with others (a common coarse-tuned model): seeds that share it are not
    /// independent. `None`: the seed is the independent unit.
    #[serde(default)]
    pub unit: Option<String>,
    pub status: Status,
    /// In the order of the pipeline.
    #[serde(default)]
    pub stages: Vec<StageRun>,
    #[serde(default)]
    pub scores: Option<ScoreReport>,
    /// One per gold sentence of the dataset that was generated for, found by id.
    #[serde(default)]
    pub generations: Vec<Generation>,
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    #[serde(default)]
    pub cost: Cost,
    /// What every masking rule did while generating, in the order in which rules are applied.
    #[serde(default)]
    pub audit: Vec<RuleAudit>,
    #[serde(default)]
    pub facts: Facts,
    /// Of the program that ran the cell.
    #[serde(default)]
    pub commit: String,
    /// Of the data that the cell saw.
    #[serde(default)]
    pub data_hash: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Status {
    #[default]
    Done,
    /// Not run yet, failed or interrupted; `reason` is printed as it is.
    Missing { reason: String },
}

/// A finished stage, as the store knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRun {
    /// `corpus`, `pretrain`, `coarse-tune`, `fine-tune`, `generate`, `score`.
    pub stage: String,
    /// The run's folder in the store.
    pub run: String,
    pub fingerprint: String,
    /// The resolved configuration, canonical.
    #[serde(default)]
    pub configuration: String,
}

/// One logged step of one training stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub stage: String,
    /// Optimiser steps since the stage began.
    pub step: u64,
    /// Mean negative log-likelihood per response token, in nats.
    pub loss: f64,
    #[serde(default)]
    pub validation_loss: Option<f64>,
    pub learning_rate: f64,
}

/// What a cell took, over all its own stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub training_seconds: f64,
    pub training_tokens: u64,
    pub generation_seconds: f64,
    pub generation_tokens: u64,
    /// Where the device tells it.
    #[serde(default)]
    pub joules: Option<f64>,
    #[serde(default)]
    pub peak_bytes: Option<u64>,
}

/// One masking rule over all decoding steps of a cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleAudit {
    pub rule: String,
    pub steps: u64,
    /// Steps at which the rule forbade a token that the rules before it allowed.
    pub fired: u64,
    /// Steps at which the token that free decoding would have taken was among them.
    #[serde(default)]
    pub argmax_removed: u64,
    /// The probability of those tokens under the model, summed over steps.
    pub mass_removed: f64,
}

/// Numbers about the cell that figures have on their axes; `None` where they have no meaning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Sentences that coarse-tuning saw.
    #[serde(default)]
    pub coarse_sentences: Option<u64>,
    /// Entity types of the schema that the cell decodes with.
    #[serde(default)]
    pub types: Option<u64>,
    /// The datasets of the experiment's pool that tuning left out; empty where it had them all, `None` where there is no
    /// pool. With one dataset left out the cell is part of a leave-one-out design.
    #[serde(default)]
    pub left_out: Option<Vec<String>>,
    /// The masking rules in force, for instance `["types", "span"]`.
    #[serde(default)]
    pub masks: Option<Vec<String>>,
}

/// The gold sentences of one dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GoldSet {
    pub dataset: String,
    /// Whether the licence lets the text be published (our own synthetic corpora). Other text is embedded only when
    /// the reader asks for it ([`crate::Options::with_text`]).
    pub may_publish: bool,
    /// The dataset's types, as far as they are known: what a model writes beyond them it has invented.
    #[serde(default)]
    pub types: Vec<String>,
    pub sentences: Vec<Sentence>,
}

/// How to get the same report again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    pub commit: String,
    /// Uncommitted changes when the experiment ran.
    #[serde(default)]
    pub dirty: bool,
    pub version: String,
    pub command: String,
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub device: String,
    /// Dataset or weights → hash.
    #[serde(default)]
    pub hashes: BTreeMap<String, String>,
}
