//! A plan's stages become artefacts in a store.
//!
//! [`FileInputs`] tells a plan what the inputs are, [`run`] walks the plan, each stage's work stands in `stages/`, and
//! [`Store`] keeps what was made. Nothing here draws a picture or prints.

mod bundle;
mod claim;
mod clock;
mod energy;
mod error;
mod event;
mod executor;
mod failure;
pub mod gc;
mod history;
mod host;
mod inputs;
mod predict;
mod probe;
mod provenance;
mod replication;
mod run;
mod stages;
mod store;
mod vocabulary;
mod worker;
mod writing;

pub use burn::tensor::Device;

pub use bundle::{Bundled, Contents, Deviation, Unbundled, bundle, rescore, unbundle};
pub use claim::Holder;
pub use clock::now_ms;
pub use error::{Error, FailureClass};
pub use event::{Event, EventLog, event_logs, parse_event, read_events};
pub use failure::FailureRecord;
pub use history::{PastRun, calibration, frozen_plans, past_runs};
pub use inputs::FileInputs;
pub use predict::{Prediction, TrainedModel, trained_model};
pub use probe::probe;
pub use provenance::Provenance;
pub use replication::{Width, widest};
pub use run::{Asked, Context, Observer, Options, Summary, Unobserved, Work, run, run_with};
pub use stages::answer::{Alternative, Alternatives};
pub use stages::corpus::SCHEMA;
pub use stages::generate::{ALTERNATIVES, AUDIT, GENERATIONS, SENTENCES, VERDICTS};
pub use stages::score::SCORES;
pub use stages::spans::{Action, Verdict, Verdicts};
pub use stages::train::{CURVE, VALIDATION};
pub use stages::weights::MODEL;
pub use stages::{Job, work as work_stage};
pub use store::{Artefact, FileEntry, Manifest, Staging, Store};
pub use vocabulary::Vocabulary;
pub use worker::{Outcome, Patience, StageWork, Worker};
pub use writing::CorpusWriting;
