//! Annotated utterances: the JSON of SNIPS, of `PolyAI`'s span-extraction sets (Restaurant-8k) and of SGD.

use std::collections::BTreeMap;
use std::path::Path;

use inerd_text::{CharOffsets, Entity, Sentence, Span};
use serde::{Deserialize, Serialize};

use crate::reader::keep;
use crate::report::FileReport;
use crate::{Error, Result};

/// `{intent: [{"data": [{"text": …, "entity": …}]}]}`: chunks whose texts make the utterance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snips {}

#[derive(Debug, Deserialize)]
struct SnipsUtterance {
    data: Vec<SnipsChunk>,
}

#[derive(Debug, Deserialize)]
struct SnipsChunk {
    text: String,
    entity: Option<String>,
}

impl Snips {
    pub fn read(&self, path: &Path, text: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let intents: BTreeMap<String, Vec<SnipsUtterance>> = whole(path, text)?;
        let mut sentences = Vec::new();
        for (index, utterance) in intents.into_values().flatten().enumerate() {
            let mut sentence = Sentence::default();
            for chunk in utterance.data {
                let start = sentence.text.len();
                sentence.text.push_str(&chunk.text);
                if let Some(kind) = chunk.entity {
                    sentence.entities.push(Entity::new(kind, start, sentence.text.len()));
                }
            }
            keep(sentence, index + 1, 0, &mut sentences, report);
        }
        Ok(sentences)
    }
}

/// A list of `{"userInput": {"text": …}, "labels": [{"slot": …, "valueSpan": {"startIndex": …, "endIndex": …}}]}` with
/// character offsets; a start of 0 may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolyAi {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolyAiItem {
    user_input: PolyAiInput,
    #[serde(default)]
    labels: Vec<PolyAiLabel>,
}

#[derive(Debug, Deserialize)]
struct PolyAiInput {
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolyAiLabel {
    slot: String,
    value_span: PolyAiSpan,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolyAiSpan {
    #[serde(default)]
    start_index: usize,
    end_index: usize,
}

impl PolyAi {
    pub fn read(&self, path: &Path, text: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let items: Vec<PolyAiItem> = whole(path, text)?;
        let mut sentences = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let mut sentence = Sentence { text: item.user_input.text, ..Sentence::default() };
            for label in item.labels {
                let span = Span::new(label.value_span.start_index, label.value_span.end_index);
                let span = bytes(&sentence.text, span).map_err(|e| fail(path, index + 1, &format!("item: {e}")))?;
                sentence.entities.push(Entity { span, kind: label.slot });
            }
            keep(sentence, index + 1, 0, &mut sentences, report);
        }
        Ok(sentences)
    }
}

/// How a slot of SGD becomes a type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SgdTypes {
    /// `Restaurants.time`: the service without its number.
    #[default]
    Domain,
    /// `Restaurants_2.time`.
    Service,
    /// `time`.
    Slot,
}

/// The dialogues as they are published, `[{"turns": [{"utterance": …, "frames": [{"service": …, "slots": [{"slot": …,
/// "start": …, "exclusive_end": …}]}]}]}]`, or one turn per line, `{"text": …, "slots": [[start, end, service, slot]]}`;
/// with character offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    pub types: SgdTypes,
}

#[derive(Debug, Deserialize)]
struct SgdTurn {
    text: String,
    #[serde(default)]
    slots: Vec<(usize, usize, String, String)>,
}

#[derive(Debug, Deserialize)]
struct SgdDialogue {
    turns: Vec<SgdPublishedTurn>,
}

#[derive(Debug, Deserialize)]
struct SgdPublishedTurn {
    utterance: String,
    #[serde(default)]
    frames: Vec<SgdFrame>,
}

#[derive(Debug, Deserialize)]
struct SgdFrame {
    service: String,
    #[serde(default)]
    slots: Vec<SgdSlot>,
}

#[derive(Debug, Deserialize)]
struct SgdSlot {
    slot: String,
    /// Missing where the value stands in another turn.
    start: Option<usize>,
    exclusive_end: Option<usize>,
}

impl From<SgdPublishedTurn> for SgdTurn {
    fn from(turn: SgdPublishedTurn) -> Self {
        let slots = turn.frames.into_iter().flat_map(|frame| {
            let SgdFrame { service, slots } = frame;
            slots.into_iter().filter_map(move |s| Some((s.start?, s.exclusive_end?, service.clone(), s.slot)))
        });
        Self { slots: slots.collect(), text: turn.utterance }
    }
}

impl Sgd {
    pub fn read(&self, path: &Path, text: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let mut sentences = Vec::new();
        if text.trim_start().starts_with('[') {
            let dialogues: Vec<SgdDialogue> = whole(path, text)?;
            for (index, turn) in dialogues.into_iter().flat_map(|d| d.turns).enumerate() {
                self.turn(turn.into(), index + 1, &mut sentences, report)
                    .map_err(|e| fail(path, index + 1, &format!("turn: {e}")))?;
            }
            return Ok(sentences);
        }
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let turn: SgdTurn = serde_json::from_str(line).map_err(|e| fail(path, index + 1, &e.to_string()))?;
            self.turn(turn, index + 1, &mut sentences, report).map_err(|e| fail(path, index + 1, &e))?;
        }
        Ok(sentences)
    }

    fn turn(
        &self,
        turn: SgdTurn,
        line: usize,
        sentences: &mut Vec<Sentence>,
        report: &mut FileReport,
    ) -> std::result::Result<(), String> {
        let mut sentence = Sentence { text: turn.text, ..Sentence::default() };
        for (start, end, service, slot) in turn.slots {
            let span = bytes(&sentence.text, Span::new(start, end))?;
            let kind = match self.types {
                SgdTypes::Domain => format!("{}.{slot}", service.rsplit_once('_').map_or(&*service, |s| s.0)),
                SgdTypes::Service => format!("{service}.{slot}"),
                SgdTypes::Slot => slot,
            };
            sentence.entities.push(Entity { span, kind });
        }
        keep(sentence, line, 0, sentences, report);
        Ok(())
    }
}

fn whole<'a, T: Deserialize<'a>>(path: &Path, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| fail(path, e.line(), &e.to_string()))
}

fn fail(path: &Path, line: usize, reason: &str) -> Error {
    Error::Format { path: path.to_owned(), line, reason: reason.to_owned() }
}

fn bytes(text: &str, chars: Span) -> std::result::Result<Span, String> {
    let outside = || format!("the span {}..{} is empty or lies outside `{text}`", chars.start, chars.end);
    CharOffsets::new(text).to_bytes(chars).filter(|s| !s.is_empty()).ok_or_else(outside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Repair;

    fn surfaces(sentence: &Sentence) -> Vec<(&str, &str)> {
        sentence.entities.iter().map(|e| (e.kind.as_str(), sentence.surface(e))).collect()
    }

    #[test]
    fn snips_chunks_are_joined_and_mentions_trimmed() {
        let text = r#"{"Play": [{"data": [{"text": "play "}, {"text": " Café ", "entity": "track"}, {"text": "now"},
            {"text": " ", "entity": "artist"}]}]}"#;
        let mut report = FileReport::default();
        let sentences = Snips {}.read(Path::new("f"), text, &mut report).unwrap();
        assert_eq!(sentences[0].text, "play  Café now ");
        assert_eq!(surfaces(&sentences[0]), [("track", "Café")]);
        assert_eq!(
            report.repairs.into_iter().collect::<Vec<_>>(),
            [(Repair::TrimmedMention, 1), (Repair::BlankMention, 1)]
        );
    }

    #[test]
    fn restaurant8k_leaves_out_a_start_of_zero() {
        let text = r#"[{"userInput": {"text": "13 please"}, "labels": [{"slot": "people", "valueSpan": {"endIndex": 2}}]},
            {"userInput": {"text": "at 7"}, "labels": [{"slot": "time", "valueSpan": {"startIndex": 3, "endIndex": 4}}]},
            {"userInput": {"text": "yes"}}]"#;
        let sentences = PolyAi {}.read(Path::new("f"), text, &mut FileReport::default()).unwrap();
        assert_eq!(surfaces(&sentences[0]), [("people", "13")]);
        assert_eq!(surfaces(&sentences[1]), [("time", "7")]);
        assert_eq!(sentences.len(), 3);
        let outside = text.replace("\"endIndex\": 4", "\"endIndex\": 9");
        let error = PolyAi {}.read(Path::new("f"), &outside, &mut FileReport::default()).unwrap_err();
        assert_eq!(error.to_string(), "read f, line 2: item: the span 3..9 is empty or lies outside `at 7`");
    }

    #[test]
    fn sgd_slots_become_types_of_three_grains() {
        let text =
            r#"{"id": "1:0", "text": "at 7", "services": ["Car_Hire_2"], "slots": [[3, 4, "Car_Hire_2", "time"]]}"#;
        for (types, kind) in
            [(SgdTypes::Domain, "Car_Hire.time"), (SgdTypes::Service, "Car_Hire_2.time"), (SgdTypes::Slot, "time")]
        {
            let published = r#"[{"dialogue_id": "1", "turns": [{"speaker": "USER", "utterance": "at 7", "frames":
                [{"service": "Car_Hire_2", "slots": [{"slot": "time", "start": 3, "exclusive_end": 4},
                {"slot": "city", "copy_from": "city"}]}]}]}]"#;
            for text in [text, published] {
                let sentences = Sgd { types }.read(Path::new("f"), text, &mut FileReport::default()).unwrap();
                assert_eq!(surfaces(&sentences[0]), [(kind, "7")]);
            }
        }
    }
}
