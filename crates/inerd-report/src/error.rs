use std::path::PathBuf;

/// Why a report could not be written. Messages fit "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("find the metric `{metric}`: write `f1`, `precision` or `recall`, a dot and a convention, as in `f1.span`")]
    Metric { metric: String },
    #[error(transparent)]
    Convention(#[from] inerd_metrics::UnknownConvention),
    #[error("write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("build the table `{table}`")]
    Table { table: String, source: polars::error::PolarsError },
    #[error("draw the figure `{figure}`: {reason}")]
    Picture { figure: String, reason: String },
    #[error("write the record {path}")]
    Record { path: PathBuf, source: serde_json::Error },
    #[error("read {path}: it is not the record of a report or figure of this program")]
    Sidecar { path: PathBuf, source: serde_json::Error },
    #[error(
        "read {path}: its format is {found}, this program knows up to {known}; update the program or make the report again"
    )]
    Format { path: PathBuf, found: u32, known: u32 },
    #[error("explain `{given}`: write it as FIGURE.svg#ID, for instance `{example}`")]
    Reference { given: String, example: String },
    #[error("explain `{id}`: {path} names no such point{nearest}")]
    UnknownPoint { id: String, path: PathBuf, nearest: String },
}
