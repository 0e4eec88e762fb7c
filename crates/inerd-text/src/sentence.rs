use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Span;
use crate::json::{CharOffsets, EntityRecord, SentenceRecord};

/// One named entity: its type and where it stands in the sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Position first, so that sorting entities puts them in text order.
    pub span: Span,
    /// The type's name as the schema spells it ("Person", "Cell Type").
    pub kind: String,
}

impl Entity {
    pub fn new(kind: impl Into<String>, start: usize, end: usize) -> Self {
        Self { span: Span::new(start, end), kind: kind.into() }
    }
}

/// One sentence with its gold entities.
///
/// On disk: `{"id": …, "text": …, "tokens": [[start, end], …], "entities": [{"type": …, "start": …, "end": …}]}`
/// with character offsets. `id` and `tokens` may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "SentenceRecord", try_from = "SentenceRecord")]
pub struct Sentence {
    /// Stable name within its corpus (`wnut17/test/17`).
    pub id: String,
    pub text: String,
    /// The corpus's own word tokens, in order; empty where the source has none.
    pub tokens: Vec<Span>,
    /// In text order.
    pub entities: Vec<Entity>,
}

impl Sentence {
    /// The text of an entity.
    ///
    /// # Panics
    /// Never for a sentence that passed [`Sentence::validate`].
    pub fn surface(&self, entity: &Entity) -> &str {
        entity.span.of(&self.text).expect("entity spans are validated on construction")
    }

    /// Checks that every span lies inside the text, on character boundaries, and is not empty.
    pub fn validate(&self) -> Result<(), InvalidSentence> {
        let spans = self.tokens.iter().copied().chain(self.entities.iter().map(|e| e.span));
        for span in spans {
            if span.is_empty() || span.of(&self.text).is_none() {
                return Err(InvalidSentence { id: self.id.clone(), span, length: self.text.len() });
            }
        }
        Ok(())
    }
}

/// A span that does not lie inside its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSentence {
    pub id: String,
    pub span: Span,
    pub length: usize,
}

impl fmt::Display for InvalidSentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, span, length } = self;
        write!(
            f,
            "sentence `{id}`: span {}..{} is empty or lies outside the text (length {length})",
            span.start, span.end
        )
    }
}

impl std::error::Error for InvalidSentence {}

impl From<Sentence> for SentenceRecord {
    fn from(sentence: Sentence) -> Self {
        let chars = CharOffsets::new(&sentence.text);
        Self {
            id: sentence.id,
            tokens: sentence.tokens.iter().map(|&s| chars.to_chars(s)).map(|s| (s.start, s.end)).collect(),
            entities: (sentence.entities.into_iter())
                .map(|e| {
                    let span = chars.to_chars(e.span);
                    EntityRecord { kind: e.kind, start: span.start, end: span.end }
                })
                .collect(),
            text: sentence.text,
        }
    }
}

impl TryFrom<SentenceRecord> for Sentence {
    type Error = InvalidSentence;

    fn try_from(record: SentenceRecord) -> Result<Self, InvalidSentence> {
        let chars = CharOffsets::new(&record.text);
        let bytes = |start, end| {
            chars.to_bytes(Span::new(start, end)).filter(|s| !s.is_empty()).ok_or_else(|| InvalidSentence {
                id: record.id.clone(),
                span: Span::new(start, end),
                length: chars.len(),
            })
        };
        let tokens = record.tokens.iter().map(|&(s, e)| bytes(s, e)).collect::<Result<_, _>>()?;
        let mut entities = (record.entities.into_iter())
            .map(|e| bytes(e.start, e.end).map(|span| Entity { span, kind: e.kind }))
            .collect::<Result<Vec<_>, _>>()?;
        entities.sort();
        Ok(Self { tokens, entities, id: record.id, text: record.text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_characters_on_disk_and_bytes_in_memory() {
        let line = r#"{"text":"Zoë 🦀 Kraków","entities":[{"type":"LOC","start":6,"end":12}]}"#;
        let sentence: Sentence = serde_json::from_str(line).unwrap();
        assert_eq!(sentence.surface(&sentence.entities[0]), "Kraków");
        assert_eq!(sentence.entities[0].span, Span::new(10, 17));
        let back = serde_json::to_string(&sentence).unwrap();
        assert!(back.contains(r#""start":6,"end":12"#), "{back}");
    }

    #[test]
    fn a_span_outside_the_text_is_an_error() {
        for (start, end) in [(0, 4), (2, 1), (3, 3), (7, 9)] {
            let line = format!(r#"{{"text":"abc","entities":[{{"type":"T","start":{start},"end":{end}}}]}}"#);
            let error = serde_json::from_str::<Sentence>(&line).unwrap_err().to_string();
            assert!(error.contains("outside the text"), "{start}..{end}: {error}");
        }
    }
}
