//! The experiment's main table: arms × datasets.

use std::collections::BTreeSet;

use polars::prelude::Column;

use super::{Entry, Heading, Rank, Table};
use crate::Error;
use crate::contrast::{Contrast, method};
use crate::frame::frame;
use crate::view::{Summary, View, reasons};

pub(super) fn table(view: &View<'_>, contrasts: &[Contrast]) -> Result<Table, Error> {
    let summaries: Vec<Vec<Summary>> = (0..view.rows.len())
        .map(|row| (0..view.datasets.len()).map(|dataset| view.summary(row, dataset)).collect())
        .collect();
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    for (row, summaries) in view.rows.iter().zip(&summaries) {
        let mut entries = vec![Entry::words(&row.name)];
        entries.extend(summaries.iter().map(entry));
        rows.push(entries);
    }
    for dataset in 0..view.datasets.len() {
        rank(&mut rows, dataset + 1, &summaries, dataset);
    }
    for contrast in contrasts {
        let entry = rows.get_mut(contrast.row).and_then(|entries| entries.get_mut(contrast.dataset + 1));
        if let (Some(entry), Some(test), false) = (entry, &contrast.test, contrast.incomplete) {
            test.mark().clone_into(&mut entry.mark);
        }
    }

    let experiment = &view.input.experiment;
    let mut notes = vec![format!(
        "Micro {} in points (convention {}), {} (n = {}); best bold, second underlined.",
        view.metric.kind.name(),
        view.metric.convention,
        view.spread(),
        experiment.seeds.len()
    )];
    if contrasts.iter().any(|c| c.test.is_some()) {
        notes.push(format!(
            "Marks are differences to {}. {}",
            experiment.baseline.as_deref().unwrap_or("the baseline"),
            method(contrasts)
        ));
    }
    notes.extend(missing_notes(view, &summaries));
    notes.push(format!("Signature: {}.", view.signature()));
    let commits: BTreeSet<&str> =
        view.input.cells.iter().map(|c| c.commit.as_str()).filter(|c| !c.is_empty()).collect();
    if !commits.is_empty() {
        let noun = if commits.len() == 1 { "Commit" } else { "Commits" };
        notes.push(format!("{noun} {}.", commits.into_iter().collect::<Vec<_>>().join(", ")));
    }

    let mut columns = vec![Heading::words("Arm")];
    columns.extend(view.datasets.iter().map(Heading::numbers));
    Ok(Table { stem: "main", title: "Main results".into(), columns, rows, notes, data: data(view, &summaries)? })
}

fn entry(summary: &Summary) -> Entry {
    let Some(mean) = summary.mean else {
        let (text, reason) = if summary.expected == 0 {
            ("–".to_owned(), None)
        } else {
            (format!("0/{} seeds", summary.expected), Some(reasons(&summary.missing)))
        };
        return Entry { text, reason, ..Entry::default() };
    };
    let mut text = format!("{mean:.1}");
    if let Some(deviation) = summary.deviation {
        text += &format!(" ± {deviation:.1}");
    }
    let mut reason = None;
    if !summary.complete() {
        text += &format!(" ({}/{} seeds)", summary.n(), summary.expected);
        reason = Some(reasons(&summary.missing));
    }
    Entry { reason, ..Entry::number(mean, text) }
}

/// Best and second among the complete entries of a column; equal printed numbers share a rank.
fn rank(rows: &mut [Vec<Entry>], column: usize, summaries: &[Vec<Summary>], dataset: usize) {
    let tenths = |row: usize| {
        let summary = summaries.get(row)?.get(dataset)?;
        summary.mean.filter(|_| summary.complete()).map(|mean| (mean * 10.0).round() as i64)
    };
    let mut values: Vec<i64> = (0..rows.len()).filter_map(tenths).collect();
    // With one complete row there is nothing to be better than.
    if values.len() < 2 {
        return;
    }
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.dedup();
    for (row, entries) in rows.iter_mut().enumerate() {
        if let (Some(value), Some(entry)) = (tenths(row), entries.get_mut(column)) {
            entry.rank = match values.iter().position(|v| *v == value) {
                Some(0) => Rank::Best,
                Some(1) => Rank::Second,
                _ => Rank::Other,
            };
        }
    }
}

/// What is not there and why; entries that lack the same seeds for the same reasons share a note.
fn missing_notes(view: &View<'_>, summaries: &[Vec<Summary>]) -> Vec<String> {
    const NAMED: usize = 8;
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    for (row, summaries) in view.rows.iter().zip(summaries) {
        for (dataset, summary) in view.datasets.iter().zip(summaries) {
            if summary.missing.is_empty() || summary.expected == 0 {
                continue;
            }
            let why = format!("{}/{} seeds ({})", summary.n(), summary.expected, reasons(&summary.missing));
            let place = format!("{} on {dataset}", row.name);
            match notes.iter_mut().find(|(known, _)| *known == why) {
                Some((_, places)) => places.push(place),
                None => notes.push((why, vec![place])),
            }
        }
    }
    let note = |(why, places): (String, Vec<String>)| {
        let more = places.len().saturating_sub(NAMED);
        let named = places.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{named} and {more} more: {why}.") } else { format!("{named}: {why}.") }
    };
    notes.into_iter().map(note).collect()
}

fn data(view: &View<'_>, summaries: &[Vec<Summary>]) -> Result<polars::prelude::DataFrame, Error> {
    let flat = || {
        (view.rows.iter().zip(summaries))
            .flat_map(|(row, summaries)| view.datasets.iter().zip(summaries).map(move |(d, s)| (row, d, s)))
    };
    let text = |f: &dyn Fn(&crate::view::Row, &String, &Summary) -> String| {
        flat().map(|(r, d, s)| f(r, d, s)).collect::<Vec<String>>()
    };
    frame(
        "main",
        vec![
            Column::new("arm".into(), text(&|r, _, _| r.name.clone())),
            Column::new("dataset".into(), text(&|_, d, _| d.clone())),
            Column::new("metric".into(), text(&|_, _, _| view.input.experiment.metric.clone())),
            Column::new("mean".into(), flat().map(|(_, _, s)| s.mean).collect::<Vec<_>>()),
            Column::new("deviation".into(), flat().map(|(_, _, s)| s.deviation).collect::<Vec<_>>()),
            Column::new("n".into(), flat().map(|(_, _, s)| s.n() as u32).collect::<Vec<_>>()),
            Column::new("expected".into(), flat().map(|(_, _, s)| s.expected as u32).collect::<Vec<_>>()),
            Column::new("missing".into(), text(&|_, _, s| reasons(&s.missing))),
            Column::new("signature".into(), text(&|_, _, _| view.signature())),
        ],
    )
}
