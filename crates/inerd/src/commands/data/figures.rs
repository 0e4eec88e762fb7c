//! What `data stats` and `data check` write beside their answer: tables and figures of counts and ids, no text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use inerd_corpus::{Check, Corpus, Repeated, Sheet, Stats, Writing};
use inerd_report::{CountMatrix, Error, LengthCurves};

/// Rows of a heat map; the rarest types share the last one.
const ROWS: usize = 40;

/// One heat map of types and splits per corpus, and the lengths of all.
pub(super) fn stats(corpora: &[Corpus], stats: &[Stats], folder: &Path) -> Result<(), Error> {
    for stats in stats {
        types(stats).write(folder)?;
    }
    let words = |corpus: &Corpus| corpus.splits().iter().flat_map(|(_, s)| *s).map(inerd_corpus::length).collect();
    let curves = corpora.iter().map(|c| (c.name.clone(), words(c))).collect();
    let lengths = LengthCurves {
        stem: "lengths".to_owned(),
        title: "Lengths of sentences".to_owned(),
        caption: "Share of the sentences of all splits that have at most so many tokens, as the dataset has them."
            .to_owned(),
        unit: "Tokens".to_owned(),
        curves,
        limit: None,
    };
    lengths.write(folder).map(|_| ())
}

fn types(stats: &Stats) -> CountMatrix {
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, count) in stats.splits.iter().flat_map(|(_, c)| &c.types) {
        *totals.entry(kind).or_default() += count;
    }
    let mut names: Vec<&str> = totals.keys().copied().collect();
    names.sort_by_key(|name| (std::cmp::Reverse(totals.get(name)), *name));
    let rest: BTreeSet<&str> = names.split_off(names.len().min(ROWS)).into_iter().collect();
    let row = |of: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let counts = stats.splits.iter().map(|(_, c)| c.types.iter().filter(|(k, _)| of(k)).map(|(_, n)| n).sum());
        counts.collect()
    };
    let mut counts: Vec<Vec<usize>> = names.iter().map(|name| row(&|kind| kind == *name)).collect();
    let mut rows: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if !rest.is_empty() {
        rows.push(format!("({} other types)", rest.len()));
        counts.push(row(&|kind| rest.contains(kind)));
    }
    CountMatrix {
        stem: format!("types-{}", stats.name),
        title: format!("{}: mentions per type", stats.name),
        caption: "Mentions per type and split. Shades are logarithmic.".to_owned(),
        row_label: "Type".to_owned(),
        column_label: "Split".to_owned(),
        rows,
        columns: stats.splits.iter().map(|(split, _)| split.clone()).collect(),
        counts,
    }
}

/// Tokens of every sentence with its answer.
pub(super) fn lengths(corpus: &Corpus, writing: &dyn Writing) -> Vec<usize> {
    corpus.splits().iter().flat_map(|(_, s)| *s).map(|s| writing.length(s)).collect()
}

/// What a check found, to be handed on.
pub(super) struct Report<'a> {
    pub(super) corpora: &'a [Corpus],
    pub(super) stats: &'a [Stats],
    pub(super) checks: &'a [Check],
    pub(super) overlaps: &'a [Repeated],
    pub(super) matrix: &'a Sheet,
    /// Per corpus, where a tokenizer was given.
    pub(super) lengths: Vec<Option<Vec<usize>>>,
    pub(super) context: Option<usize>,
}

impl Report<'_> {
    /// `check.md`, `overlaps.csv` and the figures.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let save = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, text))
                .map_err(|source| Error::Write { path, source })
        };
        save("check.md", &self.markdown())?;
        save("overlaps.csv", &self.overlaps())?;
        let names: Vec<String> = self.corpora.iter().map(|c| c.name.clone()).collect();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for pair in self.overlaps {
            *counts.entry((&pair.tested, &pair.trained)).or_default() += 1;
        }
        let count = |row: &String, column: &String| counts.get(&(row.as_str(), column.as_str())).copied().unwrap_or(0);
        let matrix = CountMatrix {
            stem: "overlap".to_owned(),
            title: "Test sentences that stand in a training set".to_owned(),
            caption: "Test sentences (rows) that stand, or nearly stand, in a training set (columns). Shades are \
                      logarithmic."
                .to_owned(),
            row_label: "Test set".to_owned(),
            column_label: "Training set".to_owned(),
            counts: names.iter().map(|row| names.iter().map(|column| count(row, column)).collect()).collect(),
            rows: names.clone(),
            columns: names.clone(),
        };
        matrix.write(folder)?;
        let curves: Vec<_> = names.into_iter().zip(&self.lengths).filter_map(|(n, l)| Some((n, l.clone()?))).collect();
        if !curves.is_empty() {
            let lengths = LengthCurves {
                stem: "lengths".to_owned(),
                title: "Sentences with their answers".to_owned(),
                caption: "Share of the sentences that with their answer have at most so many tokens of the tokenizer. \
                          The line across is the model's context."
                    .to_owned(),
                unit: "Tokens of prompt and answer".to_owned(),
                curves,
                limit: self.context,
            };
            lengths.write(folder)?;
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let mut sheets = Vec::new();
        for (stats, check) in self.stats.iter().zip(self.checks) {
            sheets.extend(stats.sheets().into_iter().take(1));
            // Examples are text, and places of repairs are many.
            let findings = check.sheets().into_iter().filter(|s| !s.header.iter().any(|h| h == "line"));
            sheets.extend(findings.map(|sheet| without(sheet, "examples")));
        }
        let mut out = "# Datasets, checked\n\nCounts only: no sentence and no mention stands here.\n\n".to_owned();
        sheets.push(self.matrix.clone());
        for sheet in sheets {
            out += &sheet.markdown();
            out.push('\n');
        }
        out + "![test sentences that stand in a training set](overlap.svg)\n"
    }

    fn overlaps(&self) -> String {
        let mut out = "tested,trained,test,train,similarity\n".to_owned();
        for pair in self.overlaps {
            let Repeated { tested, trained, test, train, similarity } = pair;
            out += &format!("{tested},{trained},{test},{train},{similarity:.3}\n");
        }
        out
    }
}

fn without(mut sheet: Sheet, column: &str) -> Sheet {
    if let Some(at) = sheet.header.iter().position(|h| h == column) {
        sheet.header.remove(at);
        sheet.rows.iter_mut().filter(|row| row.len() > at).for_each(|row| drop(row.remove(at)));
    }
    sheet
}
