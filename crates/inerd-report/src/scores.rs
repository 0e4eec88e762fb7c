use std::collections::BTreeMap;
use serde::{Deserialize, Serialize};

/// What a cell scored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub signature: String,
    /// Convention → micro-averaged score.
    pub conventions: BTreeMap<String, Prf>,
    /// Type → score under the primary convention.
    #[serde(default)]
    pub per_type: BTreeMap<String, Prf>,
    #[serde(default)]
    pub hallucinations: Vec<Rate>,
}

/// All in 0..=1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Prf {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    #[serde(default)]
    pub support: u64,
}

/// A rate as a count, never as a bare percentage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub class: String,
    pub count: u64,
    pub of: u64,
    pub low: f64,
    pub high: f64,
}
