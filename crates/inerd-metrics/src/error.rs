use thiserror::Error;

/// Why scores could not be computed. Messages fit "failed to …".
#[derive(Debug, Error)]
pub enum MetricsError {
    #[error(
        "pair {gold} gold sentences with {predicted} predicted ones: both sides must hold the same sentences in the same order"
    )]
    DifferentLengths { gold: usize, predicted: usize },
    #[error(
        "pair sentence {position} (counted from 1): gold is `{gold}`, predicted is `{predicted}`; sort both files the same way"
    )]
    DifferentIds { position: usize, gold: String, predicted: String },
    #[error("pair the tags of sentence {sentence} (counted from 1): gold has {gold} tokens, predicted has {predicted}")]
    DifferentTokens { sentence: usize, gold: usize, predicted: usize },
    #[error("read the {side} tag `{tag}` (sentence {sentence}, token {token}, counted from 1): {reason}")]
    Tag { side: &'static str, sentence: usize, token: usize, tag: String, reason: &'static str },
    #[error("place a prediction of sentence {sentence} (counted from 1): {reason}")]
    Place { sentence: usize, reason: String },
    #[error("compare arms: each needs at least one replicate with finite scores")]
    NoReplicates,
    #[error(
        "exchange sentences between {baseline} replicates of the baseline and {arm} of the arm: both need as many, or exchange whole units"
    )]
    UnmatchedReplicates { baseline: usize, arm: usize },
    #[error(
        "resample {resamples} times at level {level}: at least one resample and a level between 0 and 1 are needed"
    )]
    Resampling { resamples: usize, level: f64 },
    #[error("read the scores: {0}")]
    Json(#[from] serde_json::Error),
    #[error("read scores of format {found}: this program knows formats up to {known}; score the generations again")]
    Format { found: u32, known: u32 },
}
