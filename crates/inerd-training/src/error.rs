use std::io;
use std::path::PathBuf;

/// Why training stopped without a model. Messages fit "failed to train: …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no training example: the corpus is empty after filtering")]
    NoExamples,
    #[error("there is no model to train")]
    NoCopies,
    #[error(
        "example {index} has {length} tokens, but the model's context holds {context}: shorten it, drop it or choose a longer context"
    )]
    TooLong { index: usize, length: usize, context: usize },
    #[error("the loss became {loss} at step {step}: lower the learning rate, lengthen the warm-up or clip harder")]
    Diverged { step: usize, loss: f64 },
    #[error(transparent)]
    Model(#[from] inerd_lm::Error),
    #[error("can't write the checkpoint `{}`: {source}", path.display())]
    WriteCheckpoint { path: PathBuf, source: io::Error },
    #[error("can't read the checkpoint `{}`: {reason}; delete it to start over", path.display())]
    ReadCheckpoint { path: PathBuf, reason: String },
    #[error("validation failed: {0}")]
    Validation(Box<dyn std::error::Error + Send + Sync>),
}
