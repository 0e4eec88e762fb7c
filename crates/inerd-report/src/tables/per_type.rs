//! The primary metric by entity type.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::Column;

use super::{Entry, Heading, Table};
use crate::Error;
use crate::frame::frame;
use crate::view::View;

pub(super) fn table(view: &View<'_>) -> Result<Option<Table>, Error> {
    let mut tidy = Vec::new();
    let mut invented: BTreeSet<&str> = BTreeSet::new();
    // (dataset, type) → gold entities; the same for every arm and seed.
    let mut kinds: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for (row, dataset, cells) in view.groups() {
        for cell in cells {
            let Some(scores) = cell.scores.as_ref().and_then(|s| s.scores.get(&view.metric.convention)) else {
                continue;
            };
            for (kind, score) in &scores.per_type {
                // Without a mask models invent types, any number of them: the hallucinations count those.
                if score.support == 0 {
                    invented.insert(kind);
                    continue;
                }
                let support = kinds.entry((dataset, kind)).or_default();
                *support = (*support).max(score.support);
                tidy.push((row, dataset, cell.seed, kind.as_str(), score));
            }
        }
    }
    if tidy.is_empty() {
        return Ok(None);
    }
    let mut columns = vec![Heading::words("Dataset"), Heading::words("Type"), Heading::numbers("Gold entities")];
    columns.extend(view.rows.iter().map(|r| Heading::numbers(&r.name)));
    let mut rows = Vec::new();
    for (&(dataset, kind), &support) in &kinds {
        let mut entries = vec![
            Entry::words(&view.datasets[dataset]),
            Entry::words(kind),
            Entry::number(support as f64, support.to_string()),
        ];
        for row in 0..view.rows.len() {
            // A seed that neither has nor predicts the type scores 0 by convention; it is no missing value.
            let summary = view.summarise(view.cells(row, dataset), |cell| {
                let scores = cell.scores.as_ref()?.scores.get(&view.metric.convention)?;
                Some(scores.per_type.get(kind).map_or(0.0, |s| 100.0 * view.metric.kind.of(&s.prf)))
            });
            entries.push(summary.mean.map_or_else(Entry::empty, |mean| {
                let spread = summary.deviation.map(|d| format!(" ± {d:.1}")).unwrap_or_default();
                Entry::number(mean, format!("{mean:.1}{spread}"))
            }));
        }
        rows.push(entries);
    }
    let data = frame(
        "per-type",
        vec![
            Column::new("arm".into(), tidy.iter().map(|t| view.rows[t.0].name.as_str()).collect::<Vec<_>>()),
            Column::new("dataset".into(), tidy.iter().map(|t| view.datasets[t.1].as_str()).collect::<Vec<_>>()),
            Column::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Column::new("type".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
            Column::new("precision".into(), tidy.iter().map(|t| t.4.prf.precision).collect::<Vec<_>>()),
            Column::new("recall".into(), tidy.iter().map(|t| t.4.prf.recall).collect::<Vec<_>>()),
            Column::new("f1".into(), tidy.iter().map(|t| t.4.prf.f1).collect::<Vec<_>>()),
            Column::new("support".into(), tidy.iter().map(|t| t.4.support).collect::<Vec<_>>()),
        ],
    )?;
    let mut notes = vec![format!("{} in points by type, {}.", view.metric.kind.name(), view.spread())];
    if !invented.is_empty() {
        let types = if invented.len() == 1 { "type" } else { "types" };
        notes.push(format!(
            "Not listed: {} {types} that were predicted where no gold entity of the dataset has them.",
            invented.len()
        ));
    }
    notes.push(format!("Signature: {}.", view.signature()));
    Ok(Some(Table { stem: "per-type", title: "Results by type".into(), columns, rows, notes, data }))
}
