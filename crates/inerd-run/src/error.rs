use std::io;
use std::path::{Path, PathBuf};

use inerd_experiment::{Failure, Fingerprint};

/// Why a stage or a run failed. Messages fit "failed to run …: …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't use the store at `{}`: {source}", path.display())]
    Store { path: PathBuf, source: io::Error },
    #[error("the artefact `{}` is damaged: {reason}; run again to make it anew", path.display())]
    Corrupt { fingerprint: Option<Fingerprint>, path: PathBuf, reason: String },
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
    #[error("the {what} `{name}` changed since the plan was made: plan and run again")]
    InputChanged { what: String, name: String },
    #[error("interrupted; the checkpoint is kept, run the same command again to go on")]
    Interrupted,
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    #[error("{0}")]
    Bug(String),
}

/// What kind of failure it was: what to do about it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureClass {
    /// The user's data, model or settings: fix them.
    Input,
    /// The store or its disk: nothing else would work either.
    Store,
    /// Reading, or the network: the machine's moment, not the stage.
    Machine,
    OutOfMemory,
    /// The loss diverged.
    Diverged,
    /// Asked to stop: run again.
    Interrupted,
    /// Ours.
    Bug,
}

impl FailureClass {
    /// The failure as decisions know it; `None` where the stage itself did not fail.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Self::Input => Some(Failure::Data),
            Self::Store | Self::Machine => Some(Failure::Environment),
            Self::OutOfMemory => Some(Failure::OutOfMemory),
            Self::Diverged => Some(Failure::Nan),
            Self::Bug => Some(Failure::Bug),
            Self::Interrupted => None,
        }
    }
}

impl Error {
    pub(crate) fn store(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Store { path: path.to_owned(), source }
    }

    pub fn class(&self) -> FailureClass {
        use inerd_corpus::Error as Corpus;
        use inerd_lm::Error as Model;
        use inerd_training::Error as Training;
        match self {
            Self::Store { .. }
            | Self::Training(Training::WriteCheckpoint { .. })
            | Self::Model(Model::Write { .. }) => FailureClass::Store,
            Self::Corpus(Corpus::Read { source, .. }) | Self::Model(Model::Read { source, .. })
                if is_transient(source) =>
            {
                FailureClass::Machine
            }
            // What is damaged is made anew.
            Self::Corrupt { .. } | Self::Corpus(Corpus::Fetch { .. }) => FailureClass::Machine,
            Self::Training(Training::Diverged { .. }) => FailureClass::Diverged,
            Self::OutOfMemory(_) => FailureClass::OutOfMemory,
            Self::Interrupted => FailureClass::Interrupted,
            Self::Bug(_) | Self::Metrics(_) => FailureClass::Bug,
            _ => FailureClass::Input,
        }
    }

    /// What a stage said when it panicked: memory that a device doesn't have, or a defect.
    pub(crate) fn panicked(message: String) -> Self {
        let low = message.to_lowercase().replace(['-', '_'], " ");
        let memory = ["out of memory", "outofmemory", "buffertoobig", "memory allocation of", "failed to allocate"];
        if memory.iter().any(|sign| low.contains(sign)) { Self::OutOfMemory(message) } else { Self::Bug(message) }
    }
}

/// Whether reading again may succeed: the file is there and permitted, but the device or the network failed.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    !matches!(
        error.kind(),
        Kind::NotFound
            | Kind::PermissionDenied
            | Kind::InvalidData
            | Kind::UnexpectedEof
            | Kind::IsADirectory
            | Kind::NotADirectory
    )
}
