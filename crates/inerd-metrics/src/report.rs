use std::collections::BTreeMap;

use inerd_text::{Generation, Schema, Sentence};
use serde::{Deserialize, Serialize};

use crate::analysis::{ErrorAnalysis, Training};
use crate::counts::{Scores, SentenceCounts};
use crate::hallucination::{Hallucinations, hallucinations};
use crate::score::score_per_sentence;
use crate::{Convention, MetricsError, Result};

/// Version of [`ScoreReport`] on disk. A change of its fields raises it.
pub const SCORE_FORMAT: u32 = 2;

/// Everything the score stage stores about one set of generations (`scores.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreReport {
    /// [`SCORE_FORMAT`] at the time of writing.
    pub format: u32,
    /// The types that the system was asked for: what is outside of them is a hallucination.
    pub schema: Schema,
    /// The sentences' ids, in order; two arms can be compared sentence by sentence where these are equal.
    pub ids: Vec<String>,
    pub scores: BTreeMap<Convention, Scores>,
    /// Micro counts of every sentence, parallel to `ids`.
    pub per_sentence: BTreeMap<Convention, SentenceCounts>,
    pub hallucinations: Hallucinations,
    pub errors: ErrorAnalysis,
}

impl ScoreReport {
    /// Scores the answers by every convention.
    ///
    /// # Errors
    /// Where gold and predictions do not hold the same sentences in the same order.
    pub fn new(gold: &[Sentence], predicted: &[Generation], schema: &Schema) -> Result<Self> {
        Self::build(gold, predicted, schema, None)
    }

    /// [`ScoreReport::new`], with the error analysis by what the training data hold.
    pub fn with_training(
        gold: &[Sentence],
        predicted: &[Generation],
        schema: &Schema,
        training: &Training,
    ) -> Result<Self> {
        Self::build(gold, predicted, schema, Some(training))
    }

    fn build(
        gold: &[Sentence],
        predicted: &[Generation],
        schema: &Schema,
        training: Option<&Training>,
    ) -> Result<Self> {
        let mut scores = BTreeMap::new();
        let mut per_sentence = BTreeMap::new();
        for convention in Convention::ALL {
            let (score, counts) = score_per_sentence(convention, gold, predicted, schema)?;
            scores.insert(convention, score);
            per_sentence.insert(convention, counts);
        }
        Ok(Self {
            format: SCORE_FORMAT,
            schema: schema.clone(),
            ids: gold.iter().map(|s| s.id.clone()).collect(),
            scores,
            per_sentence,
            hallucinations: hallucinations(gold, predicted, schema)?,
            errors: ErrorAnalysis::new(gold, predicted, training)?,
        })
    }

    /// Reads what [`ScoreReport::to_json`] wrote.
    ///
    /// # Errors
    /// Where the text is no score report, or one of a format that this program does not know.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let Versioned { format } = serde_json::from_str(text)?;
        if format != SCORE_FORMAT {
            return Err(MetricsError::Format { found: format, known: SCORE_FORMAT });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// As one line of JSON; equal reports give equal bytes.
    ///
    /// # Errors
    /// Never in practice: all keys are strings and no number is NaN.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::japan;

    #[test]
    fn a_report_survives_the_disk() {
        let (gold, predicted) = japan();
        let report = ScoreReport::new(&[gold], &[predicted], &Schema::new(["LOC"])).unwrap();
        let json = report.to_json().unwrap();
        assert!(json.contains(r#""span":{"tp":[2],"fp":[1],"fn":[1]}"#), "{json}");
        assert_eq!(ScoreReport::from_json(&json).unwrap(), report);
        let newer = json.replacen(&format!("\"format\":{SCORE_FORMAT}"), "\"format\":99", 1);
        let error = ScoreReport::from_json(&newer).unwrap_err().to_string();
        assert!(error.contains("format 99"), "{error}");
    }
}
