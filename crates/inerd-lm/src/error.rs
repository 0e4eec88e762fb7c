use std::io;
use std::path::{Path, PathBuf};

/// Why a model, its weights or its tokenizer can't be used. Messages fit "failed to load the model: …".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't read `{}`: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("can't write `{}`: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("`{}` is not valid JSON: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("`{}`: {reason}", path.display())]
    Config { path: PathBuf, reason: String },
    #[error("`{}` is not a readable safetensors file ({reason}); it may be truncated: fetch it again", path.display())]
    Safetensors { path: PathBuf, reason: String },
    #[error("`{}` does not fit its config.json: {}", path.display(), problems.join("; "))]
    Weights { path: PathBuf, problems: Vec<String> },
    #[error("the adapter does not fit: {reason}")]
    Adapter { reason: String },
    #[error("`{name}` can't be fetched: {reason}")]
    Fetch { name: String, reason: String },
    #[error("token {id} is outside the model's vocabulary of {vocabulary}")]
    UnknownToken { id: u32, vocabulary: usize },
    #[error("`{}` is not a readable tokenizer: {reason}", path.display())]
    Tokenizer { path: PathBuf, reason: String },
    #[error(
        "the tokenizer knows {tokenizer} tokens but the model's vocabulary holds {model}: use the tokenizer.json that belongs to the model"
    )]
    VocabularyMismatch { tokenizer: usize, model: usize },
    #[error(
        "the prompt of {length} tokens leaves no room in the model's context of {context}: shorten the sentence or choose a model with a longer context"
    )]
    TooLong { length: usize, context: usize },
    #[error("no token may follow after {after} generated tokens: the constraint allows nothing")]
    Stuck { after: usize },
}

impl Error {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
