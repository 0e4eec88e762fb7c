use inerd_text::{Generation, Prediction, Sentence, Span};
use serde::Deserialize;

use crate::{MetricsError, Result, align};

/// What any system answered to one sentence, as one line of JSON:
/// `{"id": …, "text": …, "entities": [{"type": …, "start": …, "end": …}]}` with **character** offsets, end exclusive.
///
/// An entity may have a `surface` instead of offsets; it is then aligned with the text ([`align`]). `label`, `text` and
/// `score` are understood for `type`, `surface` and `confidence`. This suite's own generations, which have
/// `predictions`, are read as they are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ForeignAnswer {
    pub id: String,
    /// Checked against gold where present.
    pub text: Option<String>,
    pub entities: Vec<ForeignEntity>,
    pub output: String,
    pub tokens: serde_json::Value,
    pub truncated: bool,
    pub predictions: Vec<Prediction>,
    pub unparsable: Vec<String>,
}

/// An entity of another system.
#[derive(Debug, Clone, Deserialize)]
pub struct ForeignEntity {
    #[serde(rename = "type", alias = "label")]
    pub kind: String,
    /// Offset in characters.
    #[serde(default)]
    pub start: Option<usize>,
    /// Offset in characters, exclusive.
    #[serde(default)]
    pub end: Option<usize>,
    #[serde(default, alias = "text")]
    pub surface: Option<String>,
    #[serde(default, alias = "score")]
    pub confidence: Option<f64>,
}

impl ForeignAnswer {
    /// Whether every entity says where it stands.
    pub fn has_positions(&self) -> bool {
        self.predictions.is_empty() && self.entities.iter().all(|e| e.start.is_some() && e.end.is_some())
    }

    /// As a generation for `sentence`, which is number `position` (from 1) of its file.
    ///
    /// # Errors
    /// Where the texts differ, an offset lies outside the text, or an entity has neither offsets nor a surface.
    pub fn into_generation(self, sentence: &Sentence, position: usize) -> Result<Generation> {
        let fail = |reason: String| MetricsError::Place { sentence: position, reason };
        if self.text.as_ref().is_some_and(|text| *text != sentence.text) {
            return Err(fail(format!("its text is not gold's, which begins `{}`", shorten(&sentence.text))));
        }
        let mut predictions = self.predictions;
        for entity in self.entities {
            let span = match (entity.start, entity.end) {
                (Some(start), Some(end)) => Some(to_bytes(&sentence.text, start, end).ok_or_else(|| {
                    fail(format!("characters {start}..{end} of `{}` are empty or outside the text", entity.kind))
                })?),
                (None, None) => None,
                _ => return Err(fail(format!("`{}` has only one of `start` and `end`", entity.kind))),
            };
            let held = span.and_then(|span| span.of(&sentence.text)).map(ToOwned::to_owned);
            let surface = held
                .or(entity.surface)
                .ok_or_else(|| fail(format!("`{}` has neither `start` and `end` nor a `surface`", entity.kind)))?;
            predictions.push(Prediction { kind: entity.kind, surface, span, confidence: entity.confidence });
        }
        align(sentence, &mut predictions);
        let tokens = self.tokens.as_u64().unwrap_or(0) as usize;
        let (output, truncated, unparsable) = (self.output, self.truncated, self.unparsable);
        Ok(Generation { id: self.id, output, tokens, truncated, predictions, unparsable })
    }
}

/// A span of characters in bytes; `None` where it is empty or not inside the text.
fn to_bytes(text: &str, start: usize, end: usize) -> Option<Span> {
    let byte = |character: usize| {
        let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        starts.nth(character)
    };
    Some(Span::new(byte(start)?, byte(end)?)).filter(|span| !span.is_empty())
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sentence;

    fn read(line: &str) -> Result<Generation> {
        let answer: ForeignAnswer = serde_json::from_str(line).unwrap();
        answer.into_generation(&sentence("s", "Zoë met Zoë", &[]), 3)
    }

    #[test]
    fn offsets_surfaces_and_own_generations() {
        let spans = |line| -> Vec<_> { read(line).unwrap().predictions.iter().map(|p| p.span).collect() };
        let second = Some(Span::new(9, 13));
        assert_eq!(spans(r#"{"entities": [{"type": "PER", "start": 8, "end": 11}]}"#), [second]);
        assert_eq!(
            spans(r#"{"entities": [{"type": "PER", "surface": "Zoë"}, {"type": "PER", "surface": "Zoë"}]}"#),
            [Some(Span::new(0, 4)), second]
        );
        let own = Generation {
            id: "s".into(),
            output: "PER : Zoë ;".into(),
            tokens: 5,
            predictions: vec![Prediction {
                kind: "PER".into(), surface: "Zoë".into(), span: second, confidence: None
            }],
            ..Generation::default()
        };
        assert_eq!(read(&serde_json::to_string(&own).unwrap()).unwrap(), own);
    }

    #[test]
    fn bad_places_are_named() {
        for (line, expected) in [
            (r#"{"entities": [{"type": "PER", "start": 8, "end": 12}]}"#, "8..12"),
            (r#"{"entities": [{"type": "PER", "start": 2, "end": 2}]}"#, "2..2"),
            (r#"{"entities": [{"type": "PER", "start": 2}]}"#, "only one"),
            (r#"{"entities": [{"type": "PER"}]}"#, "neither"),
            (r#"{"text": "Zoe"}"#, "`Zoë met Zoë`"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("sentence 3"), "{error}");
        }
    }
}
