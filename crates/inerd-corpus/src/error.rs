use std::io;
use std::path::PathBuf;

/// What can go wrong between a card's name and a corpus in memory. Messages fit "failed to {error}".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },

    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },

    /// The contents of a data file are not what its reader expects.
    #[error("read {}, line {line}: {reason}", path.display())]
    Format { path: PathBuf, line: usize, reason: String },

    #[error(
        "decode {} as {encoding}: line {line} holds bytes that are not {encoding}; \
         name the right `encoding` for this file in the card, or by --encoding when you add it", path.display()
    )]
    Encoding { path: PathBuf, line: usize, encoding: String },

    #[error("find the dataset `{name}`: {}", help_unknown(nearest))]
    UnknownCard { name: String, nearest: Vec<String> },

    /// A card or grammar that does not parse or contradicts itself.
    #[error("read the {what} `{name}`: {reason}")]
    Card { what: &'static str, name: String, reason: String },

    #[error("load `{name}`: {help}")]
    MissingData { name: String, help: String },

    #[error("fetch {path}: {reason}")]
    Fetch { path: String, reason: String },

    /// A request that makes no sense; the text says which and why.
    #[error("{0}")]
    Invalid(String),
}

fn help_unknown(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return "no card has this name; `inerd data list` lists them".to_owned();
    }
    format!("no card has this name; did you mean {}?", nearest.join(" or "))
}

pub type Result<T> = std::result::Result<T, Error>;
