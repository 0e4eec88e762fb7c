//! `inerd score`: any system's answers against gold, and against another system's.

mod compare;
mod read;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use inerd_metrics::analysis::{ErrorAnalysis, Training};
use inerd_metrics::{
    Convention, Hallucinations, MetricsError, Scheme, Scores, SentenceCounts, TagRules, score_per_sentence,
    score_tags_per_sentence,
};
use inerd_text::Schema;
use serde::Serialize;

use self::read::{Answers, Gold, text_of, wrong};
use crate::exit::Exit;
use crate::output::{Failure, Output};

/// All files hold the same sentences in the same order, as columns (token first, tag last) or JSON lines (`{"text": …,
/// "entities": [{"type": …, "start": …, "end": …}]}`, offsets in characters). An answer in JSON lines needs no text, and
/// its entities may have a `surface` instead of offsets.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The right answers.
    #[arg(long, value_name = "FILE")]
    gold: PathBuf,
    /// The system's answers.
    #[arg(long, value_name = "FILE")]
    pred: PathBuf,
    /// Only these conventions (span, seqeval, gollie, …; `all` for all of them, the default).
    #[arg(long = "convention", value_name = "NAME", value_delimiter = ',', value_parser = conventions)]
    conventions: Vec<Vec<Convention>>,
    /// Tagging scheme of the columns, for seqeval-strict: iob1, iob2, ioe1, ioe2, iobes or bilou. Told by the tags'
    /// marks where not given.
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<Scheme>,
    /// The types that the system was asked for, separated by commas; gold's types where not given.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// What the system was trained on: scores by seen and unseen surfaces.
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// Another system's answers: is the difference more than noise?
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// What the same system answers without its mask: what did the mask turn hallucinations into?
    #[arg(long, value_name = "FILE")]
    free: Option<PathBuf>,
    /// How often the sentences are drawn again for the comparison with the baseline.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    resamples: u32,
}

fn conventions(name: &str) -> Result<Vec<Convention>, inerd_metrics::UnknownConvention> {
    if name == "all" { Ok(Convention::ALL.to_vec()) } else { Ok(vec![name.trim().parse()?]) }
}

/// Everything that is known about one system's answers.
#[derive(Debug, Serialize)]
struct Report {
    format: u32,
    sentences: usize,
    scores: Vec<Scores>,
    hallucinations: Hallucinations,
    errors: ErrorAnalysis,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<compare::Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<inerd_metrics::analysis::MaskEffect>,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<ExitCode, Failure> {
    let gold_text = text_of(&arguments.gold)?;
    let gold = Gold::new(&arguments.gold, &gold_text)?;
    let pred_text = text_of(&arguments.pred)?;
    let answers = Answers::new(&arguments.pred, &pred_text, &gold)?;
    let mut scoring = Scoring::new(arguments, &gold);

    let scored = scoring.scores(&arguments.pred, &answers)?;
    let failed = |error: MetricsError| Failure::during("score the answers", Exit::Input, error);
    let (sentences, schema) = (&gold.sentences, &scoring.asked);
    let hallucinations = inerd_metrics::hallucinations(sentences, &answers.generations, schema).map_err(failed)?;
    let training = match &arguments.train {
        Some(path) => Some(Training::new(&Gold::new(path, &text_of(path)?)?.sentences)),
        None => None,
    };
    let errors = ErrorAnalysis::new(sentences, &answers.generations, training.as_ref()).map_err(failed)?;
    let mask = match &arguments.free {
        Some(path) => {
            let text = text_of(path)?;
            let free = Answers::new(path, &text, &gold)?.generations;
            Some(inerd_metrics::analysis::mask_effect(sentences, &free, &answers.generations, schema).map_err(failed)?)
        }
        None => None,
    };
    let comparison = match &arguments.baseline {
        Some(path) => {
            let text = text_of(path)?;
            let baseline = Answers::new(path, &text, &gold)?;
            let other = scoring.scores(path, &baseline)?;
            let generations = (baseline.generations.as_slice(), answers.generations.as_slice());
            Some(compare::compare(sentences, generations, &other, &scored, arguments.resamples).map_err(failed)?)
        }
        None => None,
    };
    let scores = scored.into_iter().map(|(scores, _)| scores).collect();
    let report = Report {
        format: inerd_metrics::SCORE_FORMAT,
        sentences: sentences.len(),
        scores,
        hallucinations,
        errors,
        comparison,
        mask,
    };
    for note in &scoring.left_out {
        output.say(note);
    }
    output.result(&table(&report), &report);
    Ok(Exit::Success.into())
}

/// What is asked for.
struct Scoring<'a> {
    gold: &'a Gold<'a>,
    conventions: Vec<Convention>,
    /// Conventions that cannot be computed are left out with a note, unless they were named.
    named: bool,
    scheme: Option<Scheme>,
    /// Types that were named on the command line, else gold's.
    asked: Schema,
    types_named: bool,
    left_out: Vec<String>,
}

impl<'a> Scoring<'a> {
    fn new(arguments: &Arguments, gold: &'a Gold<'a>) -> Self {
        let mut conventions: Vec<Convention> = arguments.conventions.concat();
        let named = !conventions.is_empty();
        if !named {
            conventions = Convention::ALL.to_vec();
        }
        let types: Vec<&str> = match arguments.types.as_slice() {
            [] => gold.sentences.iter().flat_map(|s| &s.entities).map(|e| e.kind.as_str()).collect(),
            types => types.iter().map(|t| t.trim()).collect(),
        };
        let asked = Schema::new(types);
        let types_named = !arguments.types.is_empty();
        Self { gold, conventions, named, scheme: arguments.scheme, asked, types_named, left_out: Vec::new() }
    }

    /// The figures of every convention, with the counts of every sentence.
    fn scores(&mut self, path: &Path, answers: &Answers<'_>) -> Result<Vec<(Scores, SentenceCounts)>, Failure> {
        let mut all = Vec::with_capacity(self.conventions.len());
        for convention in self.conventions.clone() {
            match self.score(convention, path, answers) {
                Ok(scored) => all.push(scored),
                Err((_, failure)) if self.named => return Err(failure),
                Err((reason, _)) => {
                    self.left_out.push(format!("{convention} is left out: {reason}"));
                    self.conventions.retain(|c| *c != convention);
                }
            }
        }
        Ok(all)
    }

    fn score(
        &self,
        convention: Convention,
        path: &Path,
        answers: &Answers<'_>,
    ) -> Result<(Scores, SentenceCounts), (String, Failure)> {
        let failed = |error: MetricsError| {
            let reason = error.to_string();
            (reason, Failure::during(format!("score {}", path.display()), Exit::Input, error))
        };
        // Tags are scored as they are, before anything is repaired.
        if let (Some(gold), Some(predicted)) = (&self.gold.rows, &answers.rows)
            && let Some(rules) = self.rules(convention, [gold, predicted])
        {
            return score_tags_per_sentence(rules, &columns(gold), &columns(predicted)).map_err(|error| match error {
                MetricsError::Tag { side, sentence, token, tag, reason } => {
                    let (path, rows) = if side == "gold" { (self.gold.path, gold) } else { (path, predicted) };
                    let token = rows.get(sentence - 1).and_then(|row| row.get(token - 1));
                    let reason = format!("{convention} can't read the tag `{tag}`: {reason}; name another --scheme");
                    let line = token.map_or(1, |token| token.2);
                    (format!("{}, line {line}: {reason}", path.display()), wrong(path, line, reason))
                }
                other => failed(other),
            });
        }
        // nervaluate knows all types unless it is told which.
        let every = || {
            let predicted = answers.generations.iter().flat_map(|g| &g.predictions).map(|p| p.kind.as_str());
            Schema::new(predicted.chain(self.asked.types().iter().map(String::as_str)))
        };
        let schema = if is_nervaluate(convention) && !self.types_named { &every() } else { &self.asked };
        let (mut scores, counts) =
            score_per_sentence(convention, &self.gold.sentences, &answers.generations, schema).map_err(failed)?;
        if answers.positions_given {
            scores.signature = convention.signature().with_given_positions().to_string();
        }
        Ok((scores, counts))
    }

    /// The conventions that are about tags.
    fn rules(&self, convention: Convention, sides: [&[read::Row<'_>]; 2]) -> Option<TagRules> {
        let detected = || Scheme::of_marks(sides.into_iter().flatten().flatten().map(|token| token.1));
        match convention {
            Convention::Span => Some(TagRules::Conlleval),
            Convention::Seqeval => Some(TagRules::Seqeval),
            Convention::SeqevalStrict => Some(TagRules::SeqevalStrict(self.scheme.unwrap_or_else(detected))),
            // Its own loader knows no other marks than `B` and `I`, and its filter of types works on entities.
            _ if is_nervaluate(convention) && !self.types_named && detected() == Scheme::Iob2 => {
                Some(TagRules::Nervaluate(convention))
            }
            _ => None,
        }
    }
}

fn is_nervaluate(convention: Convention) -> bool {
    matches!(
        convention,
        Convention::NervaluateStrict
            | Convention::NervaluateExact
            | Convention::NervaluatePartial
            | Convention::NervaluateType
    )
}

/// The tags of every sentence.
fn columns<'a>(rows: &[read::Row<'a>]) -> Vec<Vec<&'a str>> {
    rows.iter().map(|row| row.iter().map(|token| token.1).collect()).collect()
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ =
        writeln!(text, "{:<20} {:>9} {:>6} {:>6} {:>8} {:>8}", "", "precision", "recall", "F1", "macro F1", "support");
    for s in &report.scores {
        let [precision, recall, f1, macro_] =
            [s.micro.prf.precision, s.micro.prf.recall, s.micro.prf.f1, s.macro_.f1].map(|x| 100.0 * x);
        let (name, support) = (s.convention.name(), s.micro.support);
        let _ = writeln!(text, "{name:<20} {precision:>9.2} {recall:>6.2} {f1:>6.2} {macro_:>8.2} {support:>8}");
    }
    if let Some(first) = report.scores.first() {
        let _ = writeln!(text, "\n{}, by type", first.convention);
        for (kind, s) in &first.per_type {
            let [precision, recall, f1] = [s.prf.precision, s.prf.recall, s.prf.f1].map(|x| 100.0 * x);
            let _ = writeln!(text, "{kind:<20} {precision:>9.2} {recall:>6.2} {f1:>6.2} {:>8} {:>8}", "", s.support);
        }
    }
    let _ = writeln!(text);
    for (class, rate) in &report.hallucinations.classes {
        let bound = 100.0 * rate.high;
        let name = class.name();
        let _ = writeln!(text, "{name:<20} {} of {}, exact 95 % upper bound {bound:.2} %", rate.count, rate.of);
    }
    if let Some(mask) = &report.mask {
        let _ = writeln!(text, "\nwhat the mask turned hallucinations into");
        let classes = mask.per_class.iter().map(|(class, turned)| (class.name(), turned));
        for (name, t) in classes.chain([("any", &mask.all)]) {
            let _ = writeln!(
                text,
                "{name:<20} {} correct, {} wrong type, {} boundary, {} spurious, {} dropped, {} kept",
                t.correct, t.wrong_type, t.boundary, t.spurious, t.dropped, t.kept
            );
        }
    }
    if let Some(comparison) = &report.comparison {
        text.push_str(&comparison.table());
    }
    let _ = writeln!(text);
    for s in &report.scores {
        let _ = writeln!(text, "{}", s.signature);
    }
    text
}
