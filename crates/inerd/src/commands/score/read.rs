//! Gold and answers from columns or JSON lines. Whatever is wrong with them is told with its line.

use std::path::Path;

use inerd_corpus::Conll;
use inerd_metrics::{ForeignAnswer, MetricsError, tagged_entities};
use inerd_text::{Entity, Generation, InvalidRecord, Prediction, Sentence, Span, read_numbered_json_lines};

use crate::exit::Exit;
use crate::output::Failure;

/// Token, tag and line of every token of a sentence.
pub(super) type Row<'a> = Vec<(&'a str, &'a str, usize)>;

/// What a file holds.
pub(super) enum Content<'a> {
    Columns(Vec<Row<'a>>),
    JsonLines(&'a str),
}

/// Gold sentences, and where they stand.
pub(super) struct Gold<'a> {
    pub(super) path: &'a Path,
    pub(super) sentences: Vec<Sentence>,
    /// Where each sentence begins in its file.
    pub(super) lines: Vec<usize>,
    /// Where the file has columns.
    pub(super) rows: Option<Vec<Row<'a>>>,
}

/// A system's answers to gold sentences, in their order.
pub(super) struct Answers<'a> {
    pub(super) generations: Vec<Generation>,
    /// Every entity said where it stands.
    pub(super) positions_given: bool,
    /// Where the file has columns.
    pub(super) rows: Option<Vec<Row<'a>>>,
}

pub(super) fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::during(format!("read {}", path.display()), Exit::Input, error)
}

pub(super) fn wrong(path: &Path, line: usize, reason: impl Into<String>) -> Failure {
    unusable(path, InvalidRecord { line, reason: reason.into() })
}

impl<'a> Content<'a> {
    /// JSON lines are known by the file's name, or by a first line that is an object.
    pub(super) fn new(path: &Path, text: &'a str) -> Result<Self, Failure> {
        let named =
            path.extension().is_some_and(|e| ["jsonl", "json", "ndjson"].iter().any(|j| e.eq_ignore_ascii_case(j)));
        let first =
            text.trim_start_matches('\u{feff}').lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let object = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(first).is_ok();
        if named || object() {
            return Ok(Self::JsonLines(text));
        }
        Conll::default().rows(path, text).map(Self::Columns).map_err(|error| unusable(path, error))
    }
}

impl<'a> Gold<'a> {
    /// Sentences of columns have their tokens joined by spaces, and no ids.
    pub(super) fn new(path: &'a Path, text: &'a str) -> Result<Self, Failure> {
        match Content::new(path, text)? {
            Content::JsonLines(text) => {
                let read = read_numbered_json_lines(text.as_bytes()).map_err(|error| unusable(path, error))?;
                let (lines, sentences) = read.into_iter().unzip();
                Ok(Self { path, sentences, lines, rows: None })
            }
            Content::Columns(rows) => {
                let sentences = rows.iter().map(|row| sentence(path, row)).collect::<Result<_, _>>()?;
                let lines = rows.iter().map(|row| line_of(row)).collect();
                Ok(Self { path, sentences, lines, rows: Some(rows) })
            }
        }
    }

    fn named(&self, index: usize) -> String {
        let text: String = self.sentences[index].text.chars().take(40).collect();
        format!("`{text}` (line {} of {})", self.lines[index], self.path.display())
    }
}

impl<'a> Answers<'a> {
    pub(super) fn new(path: &Path, text: &'a str, gold: &Gold<'_>) -> Result<Self, Failure> {
        match Content::new(path, text)? {
            Content::JsonLines(text) => {
                let read: Vec<(usize, ForeignAnswer)> =
                    read_numbered_json_lines(text.as_bytes()).map_err(|error| unusable(path, error))?;
                let positions_given = read.iter().all(|(_, answer)| answer.has_positions());
                let lines: Vec<usize> = read.iter().map(|(line, _)| *line).collect();
                let answer = |index: usize, (line, answer): (usize, ForeignAnswer)| {
                    let sentence = &gold.sentences[index];
                    if !answer.id.is_empty() && !sentence.id.is_empty() && answer.id != sentence.id {
                        let reason = format!("its id is `{}`, and gold has `{}` there", answer.id, sentence.id);
                        return Err(wrong(path, line, reason + "; sort both files the same way"));
                    }
                    answer.into_generation(sentence, index + 1).map_err(|error| match error {
                        MetricsError::Place { reason, .. } => wrong(path, line, reason),
                        other => unusable(path, other),
                    })
                };
                let generations = paired(path, gold, &lines, read, answer)?;
                Ok(Self { generations, positions_given, rows: None })
            }
            Content::Columns(rows) => {
                let lines: Vec<usize> = rows.iter().map(|row| line_of(row)).collect();
                let answer = |index: usize, row: &Row<'_>| answer(path, row, gold, index);
                let generations = paired(path, gold, &lines, rows.iter(), answer)?;
                Ok(Self { generations, positions_given: true, rows: Some(rows) })
            }
        }
    }
}

/// Reads the answer to each gold sentence. A sentence that differs is told before a number of sentences that does.
fn paired<T>(
    path: &Path,
    gold: &Gold<'_>,
    lines: &[usize],
    answers: impl IntoIterator<Item = T>,
    read: impl Fn(usize, T) -> Result<Generation, Failure>,
) -> Result<Vec<Generation>, Failure> {
    let wanted = gold.sentences.len();
    let generations: Vec<Generation> =
        answers.into_iter().take(wanted).enumerate().map(|(i, answer)| read(i, answer)).collect::<Result<_, _>>()?;
    if let Some(line) = lines.get(wanted) {
        let reason = format!("{} sentences are answered, and {} holds {wanted}", lines.len(), gold.path.display());
        return Err(wrong(path, *line, reason + ": nothing belongs to this one"));
    }
    if generations.len() < wanted {
        let reason = format!("the file ends after {} of {wanted} sentences: ", generations.len());
        let line = lines.last().copied().unwrap_or(1);
        return Err(wrong(path, line, reason + &gold.named(generations.len()) + " has no answer"));
    }
    Ok(generations)
}

fn line_of(row: &Row<'_>) -> usize {
    row.first().map_or(1, |token| token.2)
}

/// The entities of a sentence's tags as (type, first token, token after the last).
fn entities<'a>(path: &Path, row: &Row<'a>) -> Result<Vec<(&'a str, usize, usize)>, Failure> {
    tagged_entities(row.iter().map(|token| token.1)).map_err(|error| match error {
        MetricsError::Tag { token, tag, reason, .. } => {
            let line = row.get(token.saturating_sub(1)).map_or(1, |token| token.2);
            wrong(path, line, format!("the tag `{tag}`: {reason}"))
        }
        other => unusable(path, other),
    })
}

fn sentence(path: &Path, row: &Row<'_>) -> Result<Sentence, Failure> {
    let mut sentence = Sentence::default();
    sentence.text.reserve(row.iter().map(|token| token.0.len() + 1).sum());
    sentence.tokens.reserve(row.len());
    for (word, ..) in row {
        if !sentence.text.is_empty() {
            sentence.text.push(' ');
        }
        let start = sentence.text.len();
        sentence.text.push_str(word);
        sentence.tokens.push(Span::new(start, sentence.text.len()));
    }
    for (kind, first, end) in entities(path, row)? {
        if let (Some(first), Some(last)) = (sentence.tokens.get(first), sentence.tokens.get(end - 1)) {
            sentence.entities.push(Entity::new(kind, first.start, last.end));
        }
    }
    Ok(sentence)
}

/// The entities of a row of tags, on gold's text.
fn answer(path: &Path, row: &Row<'_>, gold: &Gold<'_>, index: usize) -> Result<Generation, Failure> {
    let sentence = &gold.sentences[index];
    let places = match &gold.rows {
        // Columns on both sides hold the same words.
        Some(rows) => {
            let differs = (0..row.len().max(rows[index].len()))
                .find(|&i| row.get(i).map(|token| token.0) != rows[index].get(i).map(|token| token.0));
            if let Some(at) = differs {
                let word =
                    |row: &Row<'_>| row.get(at).map_or("the sentence's end".to_owned(), |t| format!("`{}`", t.0));
                let line = row.get(at).or(row.last()).map_or(1, |token| token.2);
                let reason = format!("here is {}, and gold has {} there", word(row), word(&rows[index]));
                return Err(wrong(path, line, format!("{reason}, in the sentence {}", gold.named(index))));
            }
            sentence.tokens.clone()
        }
        None => found(row, &sentence.text)
            .map_err(|line| wrong(path, line, format!("its words are not those of gold's {}", gold.named(index))))?,
    };
    let mut generation = Generation::default();
    for (kind, first, end) in entities(path, row)? {
        let (Some(first), Some(last)) = (places.get(first), places.get(end - 1)) else { continue };
        let span = Span::new(first.start, last.end);
        let surface = span.of(&sentence.text).unwrap_or_default().to_owned();
        generation.predictions.push(Prediction { kind: kind.to_owned(), surface, span: Some(span), confidence: None });
    }
    Ok(generation)
}

/// Where the words of a row stand in a text that may have other white space between them, or the line of the first one
/// that doesn't.
fn found(row: &Row<'_>, text: &str) -> Result<Vec<Span>, usize> {
    let skipped = |at: usize| text[at..].find(|c: char| !c.is_whitespace()).map_or(text.len(), |skip| at + skip);
    let mut at = 0;
    let mut places = Vec::with_capacity(row.len());
    for &(word, _, line) in row {
        let start = skipped(at);
        let word = word.trim();
        if !text[start..].starts_with(word) {
            return Err(line);
        }
        at = start + word.len();
        places.push(Span::new(start, at));
    }
    if skipped(at) == text.len() { Ok(places) } else { Err(row.last().map_or(1, |token| token.2)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(failure: Failure) -> String {
        failure.report.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    const GOLD: &str = "Ada B-PER\nLovelace I-PER\nslept O\n\nIn O\nOslo S-LOC";

    #[test]
    fn columns_and_json_lines_mean_the_same() {
        let gold = Gold::new(Path::new("gold"), GOLD).unwrap();
        assert_eq!(gold.sentences[0].text, "Ada Lovelace slept");
        assert_eq!(gold.sentences[0].entities, [Entity::new("PER", 0, 12)]);
        assert_eq!(gold.lines, [1, 5]);
        let path = Path::new("pred");
        let columns = Answers::new(path, "Ada O\nLovelace O\nslept O\n\nIn O\nOslo U-LOC", &gold).unwrap();
        assert!(columns.positions_given);
        let lines = "{\"entities\": []}\n\n{\"entities\": [{\"label\": \"LOC\", \"text\": \"Oslo\"}]}";
        let aligned = Answers::new(path, lines, &gold).unwrap();
        assert!(!aligned.positions_given, "a surface without offsets was aligned here");
        assert_eq!(columns.generations, aligned.generations);
    }

    #[test]
    fn words_are_found_in_running_text() {
        let text = "{\"text\": \"Ada (Lovelace) slept.\", \"entities\": []}";
        let gold = Gold::new(Path::new("gold.jsonl"), text).unwrap();
        let row = "Ada O\n( O\nLovelace B-PER\n) O\nslept O\n. O\n";
        let answers = Answers::new(Path::new("pred"), row, &gold).unwrap();
        assert_eq!(answers.generations[0].predictions[0].span, Some(Span::new(5, 13)));
        let other = said(Answers::new(Path::new("pred"), &row.replace("slept", "slapt"), &gold).err().unwrap());
        assert!(other.contains("line 5") && other.contains("line 1 of gold.jsonl"), "{other}");
    }

    #[test]
    fn sentences_that_do_not_belong_together_are_told_with_their_lines() {
        let gold = Gold::new(Path::new("gold"), GOLD).unwrap();
        for (answers, expected) in [
            ("Ada O\nLovelace O\nslept O\n\nIn O\nRome O", ["line 6", "`Rome`", "`Oslo`", "line 5 of gold"]),
            ("Ada O\nLovelace O\n", ["line 2", "the sentence's end", "`slept`", "line 1 of gold"]),
            ("Ada O\nLovelace O\nslept O\n", ["line 1", "after 1 of 2", "`In Oslo`", "no answer"]),
            (&format!("{GOLD}\n\nMore O"), ["line 8", "3 sentences", "holds 2", "nothing"]),
            ("{\"entities\": []}\n\n\n{\"text\": \"In Rome\"}", ["line 4", "text", "not gold's", "In Oslo"]),
            ("{\"entities\": []}", ["line 1", "after 1 of 2", "`In Oslo`", "no answer"]),
            ("{}\n{\"entities\": [{\"type\": \"L\", \"start\": 3, \"end\": 9}]}", ["line 2", "3..9", "`L`", "outside"]),
            ("{}\n{\"entities\": [{\"start\": 3}]}", ["line 2", "type", "missing", "column"]),
        ] {
            let said = said(Answers::new(Path::new("pred"), answers, &gold).err().unwrap());
            for part in expected {
                assert!(said.contains("read pred") && said.contains(part), "{part}: {said}");
            }
        }
        let named = Gold::new(Path::new("gold.jsonl"), "{\"id\": \"a\", \"text\": \"x\"}").unwrap();
        let said = said(Answers::new(Path::new("pred"), "\n{\"id\": \"b\"}", &named).err().unwrap());
        assert!(said.contains("line 2") && said.contains("`a`") && said.contains("`b`"), "{said}");
    }

    #[test]
    fn nothing_on_both_sides_is_no_error() {
        let gold = Gold::new(Path::new("gold"), "").unwrap();
        assert!(Answers::new(Path::new("pred"), "\n\n", &gold).unwrap().generations.is_empty());
    }
}
