//! `inerd data`: what the datasets are, hold, and lack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use inerd_corpus::{
    Card, Check, CheckOptions, Corpus, Error, Merge, Sameness, Sheet, Stats, add, cards, check, conflict_sheet,
    conflicts, convert, encode_all, fetch, load, overlap_matrix,
};
use inerd_lm::Tokenizer;
use inerd_text::Span;
use serde::Serialize;

use crate::Global;
use crate::exit::Exit;
use crate::output::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Data,
    /// Folder of your own dataset cards.
    #[arg(long, global = true, env = "INERD_CARDS", value_name = "DIR")]
    cards: Option<PathBuf>,
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
    },
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
    /// Similarity from which two sentences count as near-duplicates; 1 for copies only.
    #[arg(long, default_value_t = 0.8, value_name = "0..1")]
    near: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Conll,
    Jsonl,
}

pub(crate) fn run(arguments: Arguments, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let place = Place { cards: arguments.cards, data: global.data_dir.clone() };
    match arguments.command {
        Data::List => list(&place, output),
        Data::Check(check) => run_check(&check, &place, &global.store, output),
        Data::Stats { names } => {
            let corpora = place.corpora(&names, output)?;
            let stats: Vec<Stats> = corpora.iter().map(Stats::of).collect();
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
        Data::Add { folder, name } => {
            let of_folder = || folder.canonicalize().ok()?.file_name().map(|n| n.to_string_lossy().to_lowercase());
            let name = name.or_else(of_folder).unwrap_or_default();
            let cards = place.cards.clone().unwrap_or_else(|| PathBuf::from("data"));
            let path = add(&folder, &name, &cards).map_err(|e| failed("add the dataset", e))?;
            output.result(&format!("{} (use it with --cards {})", path.display(), cards.display()), &path);
            Ok(Exit::Success.into())
        }
    }
}

/// Where cards and data are found.
struct Place {
    cards: Option<PathBuf>,
    data: Option<PathBuf>,
}

impl Place {
    fn card(&self, name: &str) -> Result<Card, Failure> {
        Card::find(name, self.cards.as_deref()).map_err(|e| Failure::during("find the dataset", Exit::Usage, e))
    }

    /// The program's cards and the user's own.
    fn all(&self) -> Result<Vec<Card>, Failure> {
        let mut all: BTreeMap<String, Card> = cards().iter().map(|c| (c.name.clone(), c.clone())).collect();
        if let Some(folder) = &self.cards {
            for name in Card::names_in(folder).map_err(|e| failed("list the cards", e))? {
                let card = self.card(&name)?;
                all.insert(name, card);
            }
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
        let here = |data: &PathBuf| {
            card.files.iter().all(|f| inerd_corpus::locate(&data.join(card.folder()).join(&f.path)).is_some())
        };
        let state = if card.is_synthetic() {
            "generated"
        } else if place.data.as_ref().is_some_and(here) {
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
    let sameness = if arguments.near >= 1.0 { Sameness::Words } else { Sameness::Near(arguments.near) };
    let tokens = match &arguments.tokenizer {
        None => None,
        Some(path) => Some(Tokens::of(path, &corpora, &store.join("cache"))?),
    };
    let spans = |text: &str| tokens.as_ref().map_or_else(Vec::new, |t| t.spans(text));
    let options = CheckOptions {
        tokenize: if tokens.is_some() { Some(&spans) } else { None },
        context: arguments.context,
        sameness,
    };
    let checks: Vec<Check> = corpora.iter().map(|c| check(c, &options)).collect();
    let mut sheets: Vec<Sheet> = Vec::new();
    for (corpus, found) in corpora.iter().zip(&checks) {
        sheets.extend(Stats::of(corpus).sheets().into_iter().take(1));
        sheets.extend(found.sheets());
    }
    let matrix = overlap_matrix(&corpora, sameness);
    let merge = Merge::default();
    corpora.iter_mut().for_each(|c| merge.rename_types(c));
    let clashes = conflicts(&corpora);
    if corpora.len() > 1 {
        sheets.extend([matrix.clone(), conflict_sheet(&clashes)]);
    }
    let json = serde_json::json!({ "datasets": checks, "test_in_train": matrix, "conflicts": clashes });
    output.result(&text(&sheets), &json);
    Ok(Exit::Success.into())
}

/// A tokenizer, and the tokens of the texts that will be asked for.
struct Tokens {
    tokenizer: Tokenizer,
    known: BTreeMap<String, Vec<u32>>,
}

impl Tokens {
    fn of(path: &Path, corpora: &[Corpus], cache: &Path) -> Result<Self, Failure> {
        let wrong = |e| Failure::during("read the tokenizer", Exit::Input, e);
        let tokenizer = Tokenizer::load(path, None).map_err(wrong)?;
        let file = std::fs::read(path).map_err(|e| Failure::during("read the tokenizer", Exit::Input, e))?;
        let mut known = BTreeMap::new();
        for corpus in corpora {
            let texts: Vec<&str> = corpus.splits().iter().flat_map(|(_, s)| *s).map(|s| s.text.as_str()).collect();
            let encoded = encode_all(&texts, &file, Some(cache), &|text| tokenizer.encode(text));
            let encoded = encoded.map_err(|e| Failure::during("keep the tokens", Exit::Store, e))?;
            known.extend(texts.into_iter().map(str::to_owned).zip(encoded));
        }
        Ok(Self { tokenizer, known })
    }

    /// Byte spans of the text's tokens, from the bytes that each one writes.
    fn spans(&self, text: &str) -> Vec<Span> {
        let ids = self.known.get(text).cloned().unwrap_or_else(|| self.tokenizer.encode(text));
        let lengths: Vec<usize> = ids.iter().map(|&id| self.tokenizer.token_bytes(id).len()).collect();
        // Some tokenizers put a space in front of every text.
        let extra = lengths.iter().sum::<usize>().saturating_sub(text.len());
        let mut at = 0;
        let span = |length: usize| {
            let start = at;
            at += length;
            Span::new(usize::saturating_sub(start, extra), usize::saturating_sub(at, extra).min(text.len()))
        };
        lengths.into_iter().map(span).collect()
    }
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
