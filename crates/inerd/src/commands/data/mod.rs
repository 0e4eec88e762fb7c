//! `inerd data`: what the datasets are, hold, and lack.

mod figures;
mod merge;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use inerd_corpus::{
    Card, Check, CheckOptions, Corpus, Draft, Error, Merge, Sameness, Sheet, Stats, Writing, add, cards, check,
    conflict_sheet, conflicts, convert, fetch, load, overlap_matrix, repeated,
};
use inerd_lm::Tokenizer;
use inerd_run::CorpusWriting;
use serde::Serialize;

use crate::Global;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Data,
}

#[derive(Debug, Subcommand)]
enum Data {
    /// List the datasets: what they are, their licence, and whether they are at hand.
    List,
    /// Look for what is doubtful: repairs, overlaps, ambiguity, clashes, mentions that no mask can write.
    Check(CheckArguments),
    /// Count sentences, tokens and mentions per split and type.
    Stats {
        /// Names of datasets; all that are at hand where none is given.
        names: Vec<String>,
        /// Also draw the counts and lengths into this folder (SVG, PDF, PNG).
        #[arg(long, value_name = "DIR")]
        plots: Option<PathBuf>,
    },
    /// Say what merging datasets gives: sizes, types, clashes, removed sentences. Writes it where asked to.
    Merge(merge::Arguments),
    /// Write a dataset to files of a common format.
    Convert {
        name: String,
        /// Folder to write to; files that exist are not overwritten.
        folder: PathBuf,
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        to: Format,
    },
    /// Download a dataset into the data folder and verify it.
    Fetch {
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Write a card for a folder of your own data.
    Add {
        folder: PathBuf,
        /// Name of the dataset: a-z, 0-9 and hyphens. The folder's name where not given.
        #[arg(long)]
        name: Option<String>,
        /// Character encoding of the files (utf-8, utf-16le, latin1, …), where a byte-order mark does not tell.
        #[arg(long, value_name = "LABEL")]
        encoding: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct CheckArguments {
    /// Names of datasets; all that are at hand where none is given.
    names: Vec<String>,
    /// A `tokenizer.json`: find the mentions that no mask over its tokens can write.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Tokens that the model reads at once: find the sentences that are too long.
    #[arg(long, value_name = "TOKENS", requires = "tokenizer")]
    context: Option<usize>,
    /// Similarity from which two sentences count as near-duplicates; 1 for the same words in the same order.
    #[arg(long, default_value_t = 0.8, value_name = "0..1", value_parser = similarity)]
    near: f64,
    /// Also write the tables (counts and ids, no text), the overlaps and figures into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

fn similarity(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number above 0, at most 1".to_owned())?;
    if value > 0.0 && value <= 1.0 { Ok(value) } else { Err("expected a number above 0, at most 1".to_owned()) }
}

fn sameness(near: f64) -> Sameness {
    if near >= 1.0 { Sameness::Words } else { Sameness::Near(near) }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Conll,
    Jsonl,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let place = Place { cards: global.cards.clone(), data: global.data_dir.clone() };
    match arguments.command {
        Data::List => list(&place, output),
        Data::Check(check) => run_check(&check, &place, &global.store, output),
        Data::Merge(arguments) => merge::run(&arguments, &place, output),
        Data::Stats { names, plots } => {
            let corpora = place.corpora(&names, output)?;
            let stats: Vec<Stats> = corpora.iter().map(Stats::of).collect();
            if let Some(folder) = plots {
                figures::stats(&corpora, &stats, &folder).map_err(|e| Failure::during("draw", Exit::Input, e))?;
                output.say(&format!("figures are in {}", folder.display()));
            }
            let sheets: Vec<Sheet> = stats.iter().flat_map(Stats::sheets).collect();
            output.result(&text(&sheets), &stats);
            Ok(Exit::Success.into())
        }
        Data::Convert { name, folder, to } => {
            let corpus = place.corpus(&name)?;
            let format = match to {
                Format::Conll => inerd_corpus::Format::Conll,
                Format::Jsonl => inerd_corpus::Format::Jsonl,
            };
            let written = convert(&corpus, format, &folder).map_err(|e| failed("convert", e))?;
            let line = |w: &inerd_corpus::Written| {
                let lost =
                    if w.lost > 0 { format!(", {} overlapping mentions left out", w.lost) } else { String::new() };
                format!("{}  {} sentences{lost}\n", w.path.display(), w.sentences)
            };
            output.result(&written.iter().map(line).collect::<String>(), &written);
            Ok(Exit::Success.into())
        }
        Data::Fetch { names } => run_fetch(&names, &place, output),
        Data::Add { folder, name, encoding } => {
            let of_folder = || {
                let folder = folder.canonicalize().ok()?;
                Some(slug(&folder.file_name()?.to_string_lossy()))
            };
            let name = name.or_else(of_folder).unwrap_or_default();
            let (path, draft) =
                add(&folder, &name, encoding.as_deref(), &place.cards).map_err(|e| failed("add the dataset", e))?;
            output.result(&added(&path, &draft), &path);
            Ok(Exit::Success.into())
        }
    }
}

/// A folder's name as a card's.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let words: String = name.chars().map(plain).collect();
    words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// What a new card says, to be looked over.
fn added(path: &Path, Draft { card, left_out }: &Draft) -> String {
    let mut files = Sheet::new("files", &["split", "encoding", "path"]);
    for file in &card.files {
        files.row([file.split.name().to_owned(), file.encoding.clone(), file.path.clone()]);
    }
    let mut types = Sheet::new("types", &["label", "name"]);
    card.types.iter().for_each(|(label, words)| types.row([label.clone(), words.clone()]));
    let mut said = format!("{}\n{}", files.text(), types.text());
    if !left_out.is_empty() {
        said += &format!("\nnot used, for they are read in another way: {}\n", left_out.join(", "));
    }
    said + &format!(
        "\n{} was written: look it over, and fill in its licence and citation.\n`{}` is a dataset now: \
         `inerd data check {}`, and in experiments `data.pool = [\"{}\"]`.",
        path.display(),
        card.name,
        card.name,
        card.name
    )
}

/// Where cards and data are found.
struct Place {
    cards: PathBuf,
    data: Option<PathBuf>,
}

impl Place {
    fn card(&self, name: &str) -> Result<Card, Failure> {
        Card::find(name, Some(&self.cards)).map_err(|e| Failure::during("find the dataset", Exit::Usage, e))
    }

    /// The program's cards and the user's own.
    fn all(&self) -> Result<Vec<Card>, Failure> {
        let mut all: BTreeMap<String, Card> = cards().iter().map(|c| (c.name.clone(), c.clone())).collect();
        for name in Card::names_in(&self.cards).map_err(|e| failed("list the cards", e))? {
            let card = self.card(&name)?;
            all.insert(name, card);
        }
        Ok(all.into_values().collect())
    }

    fn corpus(&self, name: &str) -> Result<Corpus, Failure> {
        load(&self.card(name)?, self.data.as_deref()).map_err(|e| failed("load the dataset", e))
    }

    /// The named corpora, or all whose data are at hand.
    fn corpora(&self, names: &[String], output: &mut Output) -> Result<Vec<Corpus>, Failure> {
        if !names.is_empty() {
            return names.iter().map(|name| self.corpus(name)).collect();
        }
        let mut corpora = Vec::new();
        for card in self.all()? {
            match load(&card, self.data.as_deref()) {
                Ok(corpus) => corpora.push(corpus),
                Err(Error::MissingData { .. }) => output.say(&format!("{}: not at hand", card.name)),
                Err(error) => return Err(failed("load the dataset", error)),
            }
        }
        Ok(corpora)
    }
}

#[derive(Serialize)]
struct Listed {
    name: String,
    title: String,
    language: Vec<String>,
    domain: String,
    licence: String,
    types: usize,
    /// generated, here, fetch, manual
    state: &'static str,
}

fn list(place: &Place, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut sheet = Sheet::new("datasets", &["name", "state", "types", "language", "domain", "licence", "title"]);
    let mut listed = Vec::new();
    for card in place.all()? {
        let state = if card.is_synthetic() {
            "generated"
        } else if card.is_at_hand(place.data.as_deref()) {
            "here"
        } else if card.manual.is_empty() {
            "fetch"
        } else {
            "manual"
        };
        let Card { name, title, language, domain, licence, .. } = card.clone();
        let words: std::collections::BTreeSet<&String> = card.types.values().collect();
        let types = if words.is_empty() { load(&card, None).map_or(0, |c| c.schema.len()) } else { words.len() };
        let (types_cell, languages) = (types.to_string(), language.join(" "));
        let cells: [&str; 7] = [&name, state, &types_cell, &languages, &domain, &licence, &title];
        sheet.row(cells.map(str::to_owned));
        listed.push(Listed { name, title, language, domain, licence, types, state });
    }
    output.result(&sheet.text(), &listed);
    Ok(Exit::Success.into())
}

fn run_check(
    arguments: &CheckArguments,
    place: &Place,
    store: &Path,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let mut corpora = place.corpora(&arguments.names, output)?;
    let sameness = sameness(arguments.near);
    let writings: Vec<Option<CorpusWriting>> = match &arguments.tokenizer {
        None => corpora.iter().map(|_| None).collect(),
        Some(path) => {
            let tokenizer = Tokenizer::load(path, None);
            let tokenizer = Arc::new(tokenizer.map_err(|e| Failure::during("read the tokenizer", Exit::Input, e))?);
            let file = std::fs::read(path).map_err(|e| Failure::during("read the tokenizer", Exit::Input, e))?;
            let cache = store.join("cache");
            let of = |corpus| CorpusWriting::new(&tokenizer, &file, corpus, Some(&cache)).map(Some);
            let all: Result<_, inerd_run::Error> = corpora.iter().map(of).collect();
            all.map_err(|e| Failure::during("tokenise", super::exit_of(&e), e))?
        }
    };
    let of = |(corpus, writing): (&Corpus, &Option<CorpusWriting>)| {
        let writing = writing.as_ref().map(|w| w as &dyn Writing);
        check(corpus, &CheckOptions { writing, context: arguments.context, sameness })
    };
    let checks: Vec<Check> = corpora.iter().zip(&writings).map(of).collect();
    let mut sheets: Vec<Sheet> = Vec::new();
    for (corpus, found) in corpora.iter().zip(&checks) {
        sheets.extend(Stats::of(corpus).sheets().into_iter().take(1));
        sheets.extend(found.sheets());
    }
    let overlaps = repeated(&corpora, sameness);
    let matrix = overlap_matrix(&corpora, &overlaps);
    if let Some(folder) = &arguments.report {
        let lengths = writings.iter().zip(&corpora).map(|(w, c)| w.as_ref().map(|w| figures::lengths(c, w))).collect();
        let stats: Vec<Stats> = corpora.iter().map(Stats::of).collect();
        let report = figures::Report {
            corpora: &corpora,
            stats: &stats,
            checks: &checks,
            overlaps: &overlaps,
            matrix: &matrix,
            lengths,
            context: arguments.context,
        };
        report.write(folder).map_err(|e| Failure::during("write the report", Exit::Input, e))?;
        output.say(&format!("tables and figures are in {}", folder.display()));
    }
    let merge = Merge::default();
    corpora.iter_mut().for_each(|c| merge.rename_types(c));
    let clashes = conflicts(&corpora);
    if corpora.len() > 1 {
        sheets.extend([matrix.clone(), conflict_sheet(&clashes)]);
    }
    let json = serde_json::json!({
        "datasets": checks, "test_in_train": matrix, "repeated": overlaps, "conflicts": clashes,
    });
    output.result(&text(&sheets), &json);
    Ok(Exit::Success.into())
}

fn run_fetch(names: &[String], place: &Place, output: &mut Output) -> Result<ExitCode, Failure> {
    let Some(data) = &place.data else {
        let error = Error::Invalid("fetch: no data folder is given".to_owned());
        let help = "name it by --data-dir or INERD_DATA";
        return Err(Failure::with_help("fetch", Exit::Usage, error, help));
    };
    let mut all = Vec::new();
    for name in names {
        let card = place.card(name)?;
        output.say(&format!("{name}: licence {}", card.licence));
        let bar = if output.is_json() { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let template = "{bar:30.cyan/dim} {bytes}/{total_bytes} · {bytes_per_sec} · {msg}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let fetched = fetch(&card, data, &mut |progress| {
            bar.set_message(progress.path.to_owned());
            bar.set_length(progress.total.unwrap_or(progress.done));
            bar.set_position(progress.done);
        });
        bar.finish_and_clear();
        all.extend(fetched.map_err(|e| failed("fetch", e))?);
    }
    let line = |f: &inerd_corpus::Fetched| {
        let state = match (f.present, f.verified) {
            (true, true) => "was there, verified",
            (true, false) => "was there, no checksum in the card",
            (false, true) => "fetched, verified",
            (false, false) => "fetched, no checksum in the card",
        };
        format!("{}  {state}  sha256 {}\n", f.path.display(), f.sha256)
    };
    output.result(&all.iter().map(line).collect::<String>(), &all);
    Ok(Exit::Success.into())
}

fn text(sheets: &[Sheet]) -> String {
    sheets.iter().map(Sheet::text).collect::<Vec<_>>().join("\n")
}

fn failed(action: &str, error: Error) -> Failure {
    let exit = if matches!(error, Error::UnknownCard { .. } | Error::Invalid(_)) { Exit::Usage } else { Exit::Input };
    Failure::during(action, exit, error)
}
