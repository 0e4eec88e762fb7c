//! A plan's stages become artefacts in a store.
//!
//! [`FileInputs`] tells a plan what the inputs are, [`run`] walks the plan, each stage's work stands in `stages/`, and
//! [`Store`] keeps what was made. Nothing here draws a picture or prints.

mod clock;
mod error;
mod event;
mod inputs;
mod predict;
mod provenance;
mod run;
mod stages;
mod store;
mod vocabulary;

pub use clock::now_ms;
pub use error::{Error, FailureClass};
pub use event::{Event, EventLog, read_events};
pub use inputs::FileInputs;
pub use predict::{Prediction, trained_model};
pub use provenance::Provenance;
pub use run::{Context, Observer, Options, Outcome, Summary, Work, run};
pub use stages::answer::{Alternative, Alternatives};
pub use stages::generate::{ALTERNATIVES, AUDIT, GENERATIONS, SENTENCES, VERDICTS};
pub use stages::score::SCORES;
pub use stages::spans::{Action, Verdict, Verdicts};
pub use stages::train::{CURVE, MODEL};
pub use store::{Artefact, FileEntry, Manifest, Staging, Store};
pub use vocabulary::Vocabulary;
