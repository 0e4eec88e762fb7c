use serde::{Deserialize, Serialize};

use crate::Span;

/// An entity as a system predicted it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The type as it was written, also where no schema knows it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The content as it was written, also where the text does not hold it.
    pub surface: String,
    /// Where the surface was aligned, in **bytes**; `None` where it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Probability of the whole entity under the (masked) model, in 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

/// What a model wrote for one sentence: the raw artefact, from which every score is computed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The sentence's id.
    pub id: String,
    /// The answer, verbatim, without end-of-sequence.
    pub output: String,
    /// Generated tokens, end-of-sequence included.
    pub tokens: usize,
    /// The length limit was reached before end-of-sequence.
    #[serde(default)]
    pub truncated: bool,
    /// The output parsed into entities, in the order written.
    pub predictions: Vec<Prediction>,
    /// Pieces of the output that could not be parsed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unparsable: Vec<String>,
}
