use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use inerd_corpus::Conll;
use inerd_metrics::{
    Convention, ForeignAnswer, Hallucinations, MetricsError, Scheme, Scores, TagRules, tagged_entities,
};
use inerd_text::{Entity, Generation, Prediction, Schema, Sentence, Span, read_json_lines};

use crate::exit::Exit;
use crate::output::{Failure, Output};

/// Both files hold the same sentences in the same order: columns as CoNLL has them (token first, tag last), or JSON
/// lines where the name ends in `.json` or `.jsonl`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The right answers.
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// The system's answers.
    #[arg(long, value_name = "FILE")]
    pred: PathBuf,
    /// Only this convention (span, seqeval, gollie, …); may be repeated. All of them where not given.
    #[arg(long = "convention", value_name = "NAME")]
    conventions: Vec<Convention>,
    /// Tagging scheme of the columns, for seqeval-strict: iob1, iob2, ioe1, ioe2, iobes or bilou.
    #[arg(long, value_name = "SCHEME", default_value = "iob2")]
    scheme: Scheme,
    /// The types that the system was asked for, separated by commas; gold's types where not given.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
}

/// What a file holds.
enum Content {
    /// Tokens and tags of every sentence.
    Columns(Vec<Vec<(String, String)>>),
    JsonLines(String),
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode, Failure> {
    let Arguments { gold, pred, conventions, scheme, types } = arguments;
    let all = Convention::ALL;
    let conventions: &[Convention] = if conventions.is_empty() { &all } else { conventions };
    let (of_gold, of_pred) = (read(gold)?, read(pred)?);
    let sentences = sentences(&of_gold, gold)?;
    let (answers, given) = answers(&of_pred, pred, &sentences)?;
    let types: Vec<&str> = match types.as_slice() {
        [] => sentences.iter().flat_map(|s| &s.entities).map(|e| e.kind.as_str()).collect(),
        types => types.iter().map(|t| t.trim()).collect(),
    };
    let schema = Schema::new(types);

    let score = |&convention: &Convention| {
        // Tags are scored as they are, before anything is repaired.
        if let (Some(rules), Content::Columns(gold), Content::Columns(predicted)) =
            (rules(convention, *scheme), &of_gold, &of_pred)
        {
            return inerd_metrics::score_tags(rules, &tags(gold), &tags(predicted));
        }
        let mut scores = inerd_metrics::score(convention, &sentences, &answers, &schema)?;
        if given {
            scores.signature = convention.signature().with_given_positions().to_string();
        }
        Ok(scores)
    };
    let failed = |error: MetricsError| Failure::during(format!("score {}", pred.display()), Exit::Input, error);
    let scores = conventions.iter().map(score).collect::<Result<Vec<Scores>, _>>().map_err(failed)?;
    let hallucinations = inerd_metrics::hallucinations(&sentences, &answers, &schema).map_err(failed)?;
    let json = serde_json::json!({
        "format": inerd_metrics::SCORE_FORMAT,
        "sentences": sentences.len(),
        "scores": scores,
        "hallucinations": hallucinations,
    });
    output.result(&table(&scores, &hallucinations), &json);
    Ok(Exit::Success.into())
}

/// The conventions that are about tags.
fn rules(convention: Convention, scheme: Scheme) -> Option<TagRules> {
    match convention {
        Convention::Span => Some(TagRules::Conlleval),
        Convention::Seqeval => Some(TagRules::Seqeval),
        Convention::SeqevalStrict => Some(TagRules::SeqevalStrict(scheme)),
        _ => None,
    }
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::during(format!("read {}", path.display()), Exit::Input, error)
}

fn read(path: &Path) -> Result<Content, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable(path, error))?;
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("jsonl") || e.eq_ignore_ascii_case("json")) {
        return Ok(Content::JsonLines(text));
    }
    let rows = Conll::default().rows(path, &text).map_err(|error| unusable(path, error))?;
    let owned = |row: Vec<(&str, &str)>| -> Vec<(String, String)> {
        row.into_iter().map(|(word, tag)| (word.to_owned(), tag.to_owned())).collect()
    };
    Ok(Content::Columns(rows.into_iter().map(owned).collect()))
}

fn tags(sentences: &[Vec<(String, String)>]) -> Vec<Vec<&str>> {
    sentences.iter().map(|row| row.iter().map(|(_, tag)| tag.as_str()).collect()).collect()
}

/// Gold sentences. Those of columns have their tokens joined by spaces, and numbers for ids.
fn sentences(content: &Content, path: &Path) -> Result<Vec<Sentence>, Failure> {
    match content {
        Content::JsonLines(text) => read_json_lines(text.as_bytes()).map_err(|error| unusable(path, error)),
        Content::Columns(rows) => {
            rows.iter().map(|row| sentence(row)).collect::<Result<_, _>>().map_err(|error| unusable(path, error))
        }
    }
}

fn sentence(row: &[(String, String)]) -> Result<Sentence, MetricsError> {
    let mut sentence = Sentence::default();
    for (word, _) in row {
        if !sentence.text.is_empty() {
            sentence.text.push(' ');
        }
        let start = sentence.text.len();
        sentence.text.push_str(word);
        sentence.tokens.push(Span::new(start, sentence.text.len()));
    }
    let tags: Vec<&str> = row.iter().map(|(_, tag)| tag.as_str()).collect();
    for (kind, first, end) in tagged_entities(&tags)? {
        let tokens = sentence.tokens.get(first..end).unwrap_or_default();
        if let (Some(first), Some(last)) = (tokens.first(), tokens.last()) {
            sentence.entities.push(Entity::new(kind, first.start, last.end));
        }
    }
    Ok(sentence)
}

/// The system's answers, and whether all of them say where they stand.
fn answers(content: &Content, path: &Path, gold: &[Sentence]) -> Result<(Vec<Generation>, bool), Failure> {
    let unpaired = |found: usize| MetricsError::DifferentLengths { gold: gold.len(), predicted: found };
    let fail = |error: MetricsError| unusable(path, error);
    match content {
        Content::JsonLines(text) => {
            let lines: Vec<ForeignAnswer> = read_json_lines(text.as_bytes()).map_err(|error| unusable(path, error))?;
            if lines.len() != gold.len() {
                return Err(fail(unpaired(lines.len())));
            }
            let given = lines.iter().all(ForeignAnswer::has_positions);
            let pairs = (1..).zip(lines.into_iter().zip(gold));
            let answers = pairs.map(|(position, (line, sentence))| line.into_generation(sentence, position));
            Ok((answers.collect::<Result<_, _>>().map_err(fail)?, given))
        }
        Content::Columns(rows) => {
            if rows.len() != gold.len() {
                return Err(fail(unpaired(rows.len())));
            }
            let pairs = (1..).zip(rows.iter().zip(gold));
            let answers = pairs.map(|(position, (row, gold))| answer(row, gold, position));
            Ok((answers.collect::<Result<_, _>>().map_err(fail)?, true))
        }
    }
}

/// The entities of a row of tags, on gold's text.
fn answer(row: &[(String, String)], gold: &Sentence, position: usize) -> Result<Generation, MetricsError> {
    let predicted = sentence(row)?;
    if predicted.text != gold.text {
        let reason =
            format!("its words are not gold's, which begin `{}`", gold.text.chars().take(40).collect::<String>());
        return Err(MetricsError::Place { sentence: position, reason });
    }
    let prediction = |entity: &Entity| Prediction {
        kind: entity.kind.clone(),
        surface: entity.span.of(&predicted.text).unwrap_or_default().to_owned(),
        span: Some(entity.span),
        confidence: None,
    };
    Ok(Generation { predictions: predicted.entities.iter().map(prediction).collect(), ..Generation::default() })
}

fn table(scores: &[Scores], hallucinations: &Hallucinations) -> String {
    let mut text = String::new();
    let _ =
        writeln!(text, "{:<20} {:>9} {:>6} {:>6} {:>8} {:>8}", "", "precision", "recall", "F1", "macro F1", "support");
    for s in scores {
        let [precision, recall, f1, macro_] =
            [s.micro.prf.precision, s.micro.prf.recall, s.micro.prf.f1, s.macro_.f1].map(|x| 100.0 * x);
        let (name, support) = (s.convention.name(), s.micro.support);
        let _ = writeln!(text, "{name:<20} {precision:>9.2} {recall:>6.2} {f1:>6.2} {macro_:>8.2} {support:>8}");
    }
    let _ = writeln!(text);
    for (class, rate) in &hallucinations.classes {
        let bound = 100.0 * rate.high;
        let name = class.name();
        let _ = writeln!(text, "{name:<20} {} of {}, exact 95 % upper bound {bound:.2} %", rate.count, rate.of);
    }
    let _ = writeln!(text);
    for s in scores {
        let _ = writeln!(text, "{}", s.signature);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str) -> Content {
        let row = |line: &str| line.split_once(' ').map(|(word, tag)| (word.to_owned(), tag.to_owned())).unwrap();
        Content::Columns(text.split("\n\n").map(|sentence| sentence.lines().map(row).collect()).collect())
    }

    #[test]
    fn columns_and_json_lines_mean_the_same() {
        let path = Path::new("pred");
        let gold = sentences(&columns("Ada B-PER\nLovelace I-PER\nslept O\n\nIn O\nOslo S-LOC"), path).unwrap();
        assert_eq!(gold[0].text, "Ada Lovelace slept");
        assert_eq!(gold[0].entities, [Entity::new("PER", 0, 12)]);
        let (from_columns, given) =
            answers(&columns("Ada O\nLovelace O\nslept O\n\nIn O\nOslo U-LOC"), path, &gold).unwrap();
        assert!(given);
        let lines = "{\"entities\": []}\n{\"entities\": [{\"type\": \"LOC\", \"surface\": \"Oslo\"}]}";
        let (from_lines, given) = answers(&Content::JsonLines(lines.to_owned()), path, &gold).unwrap();
        assert!(!given, "a surface without offsets was aligned here");
        assert_eq!(from_columns, from_lines);
    }

    #[test]
    fn other_words_are_an_error() {
        let gold = sentences(&columns("Ada B-PER"), Path::new("gold")).unwrap();
        for other in ["Eda B-PER", "Ada B-PER\n\nAda O"] {
            let failure = answers(&columns(other), Path::new("pred"), &gold).unwrap_err();
            let said: Vec<String> = failure.report.chain().map(ToString::to_string).collect();
            assert!(said.join(": ").contains("read pred"), "{said:?}");
        }
    }
}
