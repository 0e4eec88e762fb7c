//! `inerd data merge`: what merging gives, before anything is trained on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use inerd_corpus::{Format, Merge, MergeReport, Sheet, TypeNames, conflict_sheet, conflicts, convert, merge};

use super::{Place, failed, sameness, similarity, text};
use crate::exit::Exit;
use crate::output::{Failure, Output};

/// The keys of `[data.merge]` in an experiment, as options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Names of datasets.
    #[arg(required = true)]
    names: Vec<String>,
    /// What happens to type names.
    #[arg(long, value_enum, default_value_t = Types::Unify)]
    types: Types,
    /// A type name to replace, old=new; may be given several times.
    #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
    map: Vec<(String, String)>,
    /// How often a dataset counts, name=weight; may be given several times.
    #[arg(long, value_name = "NAME=WEIGHT", value_parser = weight)]
    weight: Vec<(String, f64)>,
    /// At most this many training sentences per dataset.
    #[arg(long, value_name = "SENTENCES")]
    cap: Option<usize>,
    /// 1 keeps the sizes, larger evens them out.
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Train on all but this dataset; may be given several times. Its test sentences are kept out all the same.
    #[arg(long, value_name = "NAME")]
    leave_out: Vec<String>,
    /// Similarity from which a training sentence counts as a test sentence and is removed; 1 for the same words.
    #[arg(long, default_value_t = 0.8, value_name = "0..1", value_parser = similarity)]
    near: f64,
    /// Keep training sentences that stand in a test set, too.
    #[arg(long)]
    keep_repeated: bool,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the merged dataset into this folder, as JSON lines.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Types {
    /// Spellings of one name become one.
    Unify,
    /// Names stay; equal names are one type.
    Keep,
    /// Every name gets its dataset in front.
    Prefix,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("expected OLD=NEW, such as Organisation=Organization")?;
    Ok((old.trim().to_owned(), new.trim().to_owned()))
}

fn weight(text: &str) -> Result<(String, f64), String> {
    let parsed = text.split_once('=').and_then(|(name, weight)| Some((name.to_owned(), weight.trim().parse().ok()?)));
    parsed.ok_or_else(|| "expected NAME=WEIGHT, such as wnut17=2".to_owned())
}

pub(super) fn run(arguments: &Arguments, place: &Place, output: &mut Output) -> Result<ExitCode, Failure> {
    let corpora = place.corpora(&arguments.names, output)?;
    let recipe = Merge {
        types: match arguments.types {
            Types::Unify => TypeNames::Unify,
            Types::Keep => TypeNames::Keep,
            Types::Prefix => TypeNames::Prefix,
        },
        map: arguments.map.iter().cloned().collect(),
        weights: arguments.weight.iter().cloned().collect(),
        cap: arguments.cap,
        temperature: arguments.temperature,
        decontaminate: (!arguments.keep_repeated).then(|| sameness(arguments.near)),
        leave_out: arguments.leave_out.iter().cloned().collect(),
        seed: arguments.seed,
    };
    let mut renamed = corpora.clone();
    renamed.iter_mut().for_each(|c| recipe.rename_types(c));
    renamed.retain(|c| !recipe.leave_out.contains(&c.name));
    let clashes = conflicts(&renamed);
    let (merged, report) = merge("merged", corpora, &recipe).map_err(|e| failed("merge", e))?;
    let written = match &arguments.to {
        Some(folder) => convert(&merged, Format::Jsonl, folder).map_err(|e| failed("write the merged dataset", e))?,
        None => Vec::new(),
    };
    let sheets = [sizes(&report), types(&report), removed(&report), conflict_sheet(&clashes)];
    let json = serde_json::json!({ "merge": report, "conflicts": clashes, "written": written });
    output.result(&text(&sheets), &json);
    Ok(Exit::Success.into())
}

fn sizes(report: &MergeReport) -> Sheet {
    let mut sheet = Sheet::new("training sentences", &["dataset", "before", "removed", "merged"]);
    let of = |name: &str| report.removed.iter().filter(|r| r.train.split('/').next() == Some(name)).count();
    for (name, (before, merged)) in &report.sizes {
        sheet.row([name.clone(), before.to_string(), of(name).to_string(), merged.to_string()]);
    }
    sheet
}

fn types(report: &MergeReport) -> Sheet {
    let mut sheet = Sheet::new("types", &["type", "datasets"]);
    for (kind, names) in &report.types {
        sheet.row([kind.clone(), names.iter().cloned().collect::<Vec<_>>().join(", ")]);
    }
    sheet
}

/// Where the removed sentences stood: the ids are in the JSON.
fn removed(report: &MergeReport) -> Sheet {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let dataset = |id: &'_ str| -> usize { id.find('/').unwrap_or(id.len()) };
    for pair in &report.removed {
        let train = &pair.train[..dataset(&pair.train)];
        let held_out = pair.held_out.rfind('/').map_or(&*pair.held_out, |end| &pair.held_out[..end]);
        *counts.entry((train, held_out)).or_default() += 1;
    }
    let mut sheet =
        Sheet::new("training sentences removed, for they are held out", &["training set", "stand in", "sentences"]);
    for ((train, held_out), count) in counts {
        sheet.row([train.to_owned(), held_out.to_owned(), count.to_string()]);
    }
    sheet
}
