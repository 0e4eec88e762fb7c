//! JSON records, one per line or all in one list: a sentence each, with character spans, token spans or token tags.

use std::path::Path;

use inerd_text::{CharOffsets, Entity, Sentence, Span};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conll::build;
use crate::reader::keep;
use crate::report::{FileReport, Repair};
use crate::scheme::{Detector, Scheme};
use crate::{Error, Result};

/// What the numbers of a span count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offsets {
    /// Characters (Unicode scalar values) of the text.
    Char,
    Token,
}

/// Names of the fields, and what the spans count.
///
/// A record holds a text, or tokens that make one with a space between. An entity is an object, or a list
/// `[start, end, type]`. Where the type is a list of labels the deepest one (`/a/b` before `/a`), then the first, counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct JsonLines {
    pub text: String,
    pub tokens: String,
    pub entities: String,
    pub start: String,
    pub end: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Characters where the record has a text, else tokens.
    pub offsets: Option<Offsets>,
    /// The end is the last position, not the one behind it.
    pub end_inclusive: bool,
    /// A list of one tag per token, in place of entities; not looked for where empty.
    pub tags: String,
    /// What tags that are numbers stand for, from 0.
    pub tag_names: Vec<String>,
    /// Scheme of the tags, detected where not given.
    pub scheme: Option<Scheme>,
}

impl Default for JsonLines {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            tokens: "tokens".to_owned(),
            entities: "entities".to_owned(),
            start: "start".to_owned(),
            end: "end".to_owned(),
            kind: "type".to_owned(),
            offsets: None,
            end_inclusive: false,
            tags: String::new(),
            tag_names: Vec::new(),
            scheme: None,
        }
    }
}

impl JsonLines {
    pub fn read(&self, path: &Path, text: &str, report: &mut FileReport) -> Result<Vec<Sentence>> {
        let fail = |line| move |reason| Error::Format { path: path.to_owned(), line, reason };
        let mut sentences = Vec::new();
        let mut tagged = Vec::new();
        let mut take = |record: &Value, line: usize, report: &mut FileReport| {
            if self.tags.is_empty() {
                let sentence = self.sentence(record, line, report).map_err(fail(line))?;
                keep(sentence, line, 0, &mut sentences, report);
            } else {
                tagged.push((line, self.tagged(record).map_err(fail(line))?));
            }
            Ok(())
        };
        if text.trim_start().starts_with('[') {
            let list: Vec<Value> = serde_json::from_str(text).map_err(|e| fail(e.line())(e.to_string()))?;
            list.iter().enumerate().try_for_each(|(index, record)| take(record, index + 1, report))?;
        } else {
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let record = serde_json::from_str(line).map_err(|e| fail(index + 1)(e.to_string()))?;
                take(&record, index + 1, report)?;
            }
        }
        if !tagged.is_empty() {
            self.read_tags(&tagged, &mut sentences, report);
        }
        Ok(sentences)
    }

    /// The tokens of a record with their tags.
    fn tagged(&self, record: &Value) -> std::result::Result<Vec<(String, String)>, String> {
        let list = |name: &str| {
            let list = record.get(name).and_then(Value::as_array);
            list.ok_or_else(|| format!("it has no list `{name}`"))
        };
        let (tokens, tags) = (list(&self.tokens)?, list(&self.tags)?);
        if tokens.len() != tags.len() {
            return Err(format!("it has {} tokens and {} tags", tokens.len(), tags.len()));
        }
        let tag = |tag: &Value| match tag {
            Value::String(tag) => Ok(tag.clone()),
            _ => {
                let name = tag.as_u64().and_then(|n| self.tag_names.get(usize::try_from(n).ok()?));
                name.cloned().ok_or_else(|| format!("the tag {tag} is not named by the card's `tag-names`"))
            }
        };
        let token = |token: &Value| token.as_str().map(str::to_owned).ok_or_else(|| format!("{token} is not a word"));
        tokens.iter().zip(tags).map(|(a, b)| Ok((token(a)?, tag(b)?))).collect()
    }

    fn read_tags(
        &self,
        records: &[(usize, Vec<(String, String)>)],
        sentences: &mut Vec<Sentence>,
        report: &mut FileReport,
    ) {
        let mut detector = Detector::default();
        for (_, tokens) in records {
            tokens.iter().for_each(|(_, tag)| detector.tag(tag));
            detector.sentence_end();
        }
        let tags = detector.tags(self.scheme);
        report.scheme = Some(tags.scheme.to_string());
        let mut rows = Vec::new();
        for (line, tokens) in records {
            rows.extend(tokens.iter().map(|(token, tag)| (token.as_str(), tag.as_str(), *line)));
            build(&mut rows, tags, sentences, report);
        }
    }

    fn sentence(&self, record: &Value, line: usize, report: &mut FileReport) -> std::result::Result<Sentence, String> {
        let mut sentence = match (record.get(&self.text), record.get(&self.tokens)) {
            (Some(Value::String(text)), tokens) => {
                let mut sentence = Sentence { text: text.clone(), ..Sentence::default() };
                sentence.tokens = token_spans(text, tokens)?;
                sentence
            }
            (None, Some(Value::Array(tokens))) => join(tokens)?,
            _ => return Err(format!("it has neither a text `{}` nor tokens `{}`", self.text, self.tokens)),
        };
        let own_text = record.get(&self.text).is_some();
        let offsets = self.offsets.unwrap_or(if own_text { Offsets::Char } else { Offsets::Token });
        let chars = CharOffsets::new(&sentence.text);
        let entities = match record.get(&self.entities) {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(entities)) => entities,
            Some(_) => return Err(format!("`{}` is not a list", self.entities)),
        };
        for entity in entities {
            let (start, end, label) = match entity {
                Value::Array(list) => (list.first(), list.get(1), list.get(2)),
                _ => (entity.get(&self.start), entity.get(&self.end), entity.get(&self.kind)),
            };
            let number = |v: Option<&Value>| v.and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            let (Some(start), Some(end)) = (number(start), number(end)) else {
                return Err(format!("an entity has no `{}` or no `{}`", self.start, self.end));
            };
            let end = end.saturating_add(usize::from(self.end_inclusive));
            let span = match offsets {
                Offsets::Char => chars.to_bytes(Span::new(start, end)),
                Offsets::Token => match sentence.tokens.get(start..end) {
                    Some([only]) => Some(*only),
                    Some([first, .., last]) => Some(Span::new(first.start, last.end)),
                    _ => None,
                },
            };
            let span = span.filter(|s| !s.is_empty());
            let span = span.ok_or_else(|| format!("the span {start}..{end} is empty or lies outside the sentence"))?;
            let kind = match label {
                Some(Value::String(label)) => label.as_str(),
                Some(Value::Array(labels)) => {
                    let leaf = deepest(labels.iter().filter_map(Value::as_str));
                    let (leaf, several) = leaf.ok_or_else(|| format!("an entity's `{}` is empty", self.kind))?;
                    if several {
                        report.repaired(Repair::SeveralLabels, line);
                    }
                    leaf
                }
                _ => return Err(format!("an entity has no `{}`", self.kind)),
            };
            sentence.entities.push(Entity { span, kind: kind.to_owned() });
        }
        Ok(sentence)
    }
}

/// The deepest of hierarchical labels, the first of those equally deep, and whether labels were left out that are not
/// above it.
fn deepest<'a>(labels: impl Iterator<Item = &'a str> + Clone) -> Option<(&'a str, bool)> {
    let depth = |label: &str| label.matches('/').count();
    let mut best = labels.clone().next()?;
    for label in labels.clone() {
        if depth(label) > depth(best) {
            best = label;
        }
    }
    let above = |label: &str| best == label || best.strip_prefix(label).is_some_and(|rest| rest.starts_with('/'));
    let mut labels = labels;
    Some((best, labels.any(|label| !above(label))))
}

/// Tokens of a text: character spans `[start, end]`, or words that are looked up from left to right.
fn token_spans(text: &str, tokens: Option<&Value>) -> std::result::Result<Vec<Span>, String> {
    let Some(Value::Array(tokens)) = tokens else { return Ok(Vec::new()) };
    let chars = CharOffsets::new(text);
    let mut at = 0;
    let mut spans = Vec::with_capacity(tokens.len());
    for token in tokens {
        let span = match token {
            Value::String(word) => {
                let found = text.get(at..).and_then(|rest| rest.find(word.as_str()));
                found.map(|offset| Span::new(at + offset, at + offset + word.len()))
            }
            Value::Array(pair) => {
                let number = |i| pair.get(i).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
                number(0).zip(number(1)).and_then(|(start, end)| chars.to_bytes(Span::new(start, end)))
            }
            _ => None,
        };
        let span = span.filter(|s| !s.is_empty()).ok_or_else(|| format!("the token {token} is not in the text"))?;
        at = span.end;
        spans.push(span);
    }
    Ok(spans)
}

/// A sentence of words with a space between.
fn join(tokens: &[Value]) -> std::result::Result<Sentence, String> {
    let mut sentence = Sentence::default();
    for token in tokens {
        let Some(word) = token.as_str().filter(|w| !w.is_empty()) else {
            return Err(format!("the token {token} is not a word"));
        };
        if !sentence.text.is_empty() {
            sentence.text.push(' ');
        }
        let start = sentence.text.len();
        sentence.text.push_str(word);
        sentence.tokens.push(Span::new(start, sentence.text.len()));
    }
    Ok(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &JsonLines, text: &str) -> Result<(Vec<Sentence>, FileReport)> {
        let mut report = FileReport::default();
        let sentences = options.read(Path::new("file.jsonl"), text, &mut report)?;
        sentences.iter().for_each(|s| s.validate().unwrap());
        Ok((sentences, report))
    }

    #[test]
    fn character_spans_of_a_text_that_is_not_ascii() {
        let line = r#"{"text": "Zoë in Kraków", "tokens": ["Zoë", "in", "Kraków"], "entities": [[7, 13, "City"]]}"#;
        let (sentences, _) = read(&JsonLines::default(), line).unwrap();
        assert_eq!(sentences[0].surface(&sentences[0].entities[0]), "Kraków");
        assert_eq!(sentences[0].tokens.len(), 3);
    }

    #[test]
    fn token_spans_and_several_labels() {
        let options = JsonLines { entities: "mentions".to_owned(), kind: "labels".to_owned(), ..JsonLines::default() };
        let line = r#"{"tokens": ["The", "UW", "Department"], "mentions": [
            {"start": 1, "end": 2, "labels": ["/org/school", "/org"]},
            {"start": 2, "end": 3, "labels": ["/org", "/education/department", "/art/school"]}]}"#
            .replace('\n', "");
        let (sentences, report) = read(&options, &line).unwrap();
        let found: Vec<_> = sentences[0].entities.iter().map(|e| (e.kind.as_str(), sentences[0].surface(e))).collect();
        assert_eq!(found, [("/org/school", "UW"), ("/education/department", "Department")]);
        assert_eq!(report.repairs.into_iter().collect::<Vec<_>>(), [(Repair::SeveralLabels, 1)]);
    }

    #[test]
    fn tags_of_tokens_are_read_in_their_scheme() {
        let options = JsonLines { tags: "ner_tags".to_owned(), ..JsonLines::default() };
        let line = r#"{"tokens": ["Ada", "van", "Dam", "ran"], "ner_tags": ["B-P", "I-P", "E-P", "O"]}"#;
        let (sentences, report) = read(&options, line).unwrap();
        assert_eq!(sentences[0].surface(&sentences[0].entities[0]), "Ada van Dam");
        assert_eq!(report.scheme.as_deref(), Some("IOBES"));
        let names = ["O", "B-P"].map(str::to_owned).to_vec();
        let numbered = JsonLines { tag_names: names, ..options };
        let (sentences, _) = read(&numbered, r#"{"tokens": ["Ada", "ran"], "ner_tags": [1, 0]}"#).unwrap();
        assert_eq!(sentences[0].surface(&sentences[0].entities[0]), "Ada");
        for (line, reason) in [
            (r#"{"tokens": ["Ada"], "ner_tags": [2]}"#, "the tag 2 is not named"),
            (r#"{"tokens": ["Ada"], "ner_tags": []}"#, "1 tokens and 0 tags"),
            (r#"{"tokens": ["Ada"]}"#, "no list `ner_tags`"),
        ] {
            let error = read(&numbered, line).unwrap_err().to_string();
            assert!(error.contains("line 1: ") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_list_of_records_is_read_as_lines_are() {
        let list = "[{\"text\": \"Ada ran\", \"entities\": [[0, 4, \"P\"]]},\n{\"text\": \" \"}]";
        let (sentences, report) = read(&JsonLines::default(), list).unwrap();
        assert_eq!(sentences.len(), 1);
        assert_eq!(sentences[0].surface(&sentences[0].entities[0]), "Ada");
        assert_eq!(report.repairs, [(Repair::TrimmedMention, 1), (Repair::EmptySentence, 1)].into());
        assert!(read(&JsonLines::default(), "[{},\n{]").unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_line() {
        for (line, reason) in [
            ("{", "EOF"),
            (r#"{"words": []}"#, "neither a text `text` nor tokens `tokens`"),
            (r#"{"text": "a", "entities": [{"start": 0, "end": 2, "type": "T"}]}"#, "0..2 is empty or lies outside"),
            (r#"{"text": "a", "entities": [{"start": 0, "end": 1}]}"#, "no `type`"),
            (r#"{"text": "a", "entities": [{"end": 1}]}"#, "no `start`"),
            (r#"{"text": "a", "tokens": ["b"]}"#, "the token \"b\" is not in the text"),
        ] {
            let error =
                read(&JsonLines::default(), &format!("{{\"text\": \"fine\"}}\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with("read file.jsonl, line 2: ") && error.contains(reason), "{error}");
        }
    }
}
