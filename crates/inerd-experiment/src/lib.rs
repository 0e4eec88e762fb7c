//! From an experiment file to a plan: pure values, no model, no device, no store.
//!
//! ```text
//! *.toml ─► read (spans, every error at once) ─► Experiment (arms, points, settings) ─► Plan (stages, cells)
//! ```
//!
//! - [`Experiment::load`] reads a file and what it extends, and checks every key against the one definition in
//!   [`Settings`].
//! - [`Plan::build`] turns every point and seed into stages. A stage's identity is the BLAKE3 hash of what it does and
//!   of what it reads, so equal stages of different arms, and of different experiments, are one.
//! - [`decide`] says of every stage whether it runs, is resumed, is skipped or is blocked, and why. `plan` and `run`
//!   both call it.

mod arms;
mod build;
mod canonical;
mod catalogue;
mod cost;
mod decide;
mod define;
mod difference;
mod effective;
mod experiment;
mod file;
mod fingerprint;
mod inputs;
mod layer;
mod nested;
mod plan;
mod problem;
mod read;
mod reference;
mod render;
mod settings;
mod stage;
mod validate;
mod work;

pub use arms::{Arm, Point};
pub use canonical::canonical_json;
pub use catalogue::known_model;
pub use cost::{Calibration, Cost, KindSummary, Measured, Rates, Seconds, Summary, shared};
pub use decide::{
    Blocked, Case, Decision, EmptyStore, Failure, Parents, Retry, Skip, State, StoreView, Why, decide, decide_all,
};
pub use define::{Choice, Field, Kind, Names, Setting, Table};
pub use difference::{Difference, differences, value_differences};
pub use experiment::{Experiment, InvalidSeeds};
pub use file::{Disk, Files, Question, Seeds};
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use inputs::{Backend, BaseModel, Dataset, InputError, Inputs, SplitSize, Text};
pub use plan::{Cell, Plan, PlanError};
pub use problem::{LoadError, Problem};
pub use reference::{json_schema, reference};
pub use render::{PlanView, bytes, duration};
pub use settings::*;
pub use stage::{
    CorpusPart, CorpusStage, GenerateStage, InputRef, Numerics, PretrainStage, ScoreStage, Space, Stage, StageKind,
    TokenizerRef, TokenizerStage, TrainStage, Weights, version,
};
pub use work::{ModelSize, Range, Work, scratch_parameters};
