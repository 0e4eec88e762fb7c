use std::io;
use std::path::{Path, PathBuf};

/// Why a stage or a run failed. Messages fit "failed to run …: …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't use the store at `{}`: {source}", path.display())]
    Store { path: PathBuf, source: io::Error },
    #[error("the artefact `{}` is damaged: {reason}; remove that folder and run again", path.display())]
    Corrupt { path: PathBuf, reason: String },
    #[error(transparent)]
    Corpus(#[from] inerd_corpus::Error),
    #[error(transparent)]
    Model(#[from] inerd_lm::Error),
    #[error(transparent)]
    Training(#[from] inerd_training::Error),
    #[error(transparent)]
    Decoding(#[from] inerd_decoding::Error),
    #[error(transparent)]
    Metrics(#[from] inerd_metrics::MetricsError),
    #[error("{0}")]
    Unsupported(String),
    #[error(
        "the sentence `{id}` needs {length} tokens, but the model's context holds {context}: raise `model.context`, choose a model with a longer context or leave the sentence out"
    )]
    SentenceTooLong { id: String, length: usize, context: usize },
    #[error("`{dataset}` has no {split} sentence: check its card and files")]
    EmptySplit { dataset: String, split: String },
    #[error("interrupted; the checkpoint is kept, run the same command again to go on")]
    Interrupted,
    #[error("{0}")]
    Bug(String),
}

/// What kind of failure it was: what to do about it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureClass {
    /// The user's data, model or settings: fix them.
    Input,
    /// The store or the disk.
    Store,
    /// The loss diverged.
    Diverged,
    /// Asked to stop: run again.
    Interrupted,
    /// Ours.
    Bug,
}

impl FailureClass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Store => "store",
            Self::Diverged => "diverged",
            Self::Interrupted => "interrupted",
            Self::Bug => "bug",
        }
    }
}

impl Error {
    pub(crate) fn store(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Store { path: path.to_owned(), source }
    }

    pub fn class(&self) -> FailureClass {
        match self {
            Self::Store { .. }
            | Self::Corrupt { .. }
            | Self::Training(inerd_training::Error::WriteCheckpoint { .. }) => FailureClass::Store,
            Self::Training(inerd_training::Error::Diverged { .. }) => FailureClass::Diverged,
            Self::Interrupted => FailureClass::Interrupted,
            Self::Bug(_) | Self::Metrics(_) => FailureClass::Bug,
            _ => FailureClass::Input,
        }
    }
}
