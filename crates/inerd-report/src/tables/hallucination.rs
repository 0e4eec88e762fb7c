//! What the arms wrote that the task makes impossible, by class.

use polars::prelude::{Column, NamedFrom as _};

use super::{Entry, Heading, Table};
use crate::Error;
use crate::frame::frame;
use crate::scores::Rate;
use crate::view::View;

struct Line<'a> {
    row: &'a str,
    dataset: &'a str,
    seed: u64,
    rate: &'a Rate,
}

pub(super) fn table(view: &View<'_>) -> Result<Option<Table>, Error> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut classes: Vec<&str> = Vec::new();
    for (row, dataset, cells) in view.groups() {
        for cell in cells {
            for rate in cell.scores.iter().flat_map(|s| &s.hallucinations) {
                if !classes.contains(&rate.class.as_str()) {
                    classes.push(&rate.class);
                }
                lines.push(Line {
                    row: &view.rows[row].name,
                    dataset: &view.datasets[dataset],
                    seed: cell.seed,
                    rate,
                });
            }
        }
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let mut columns = vec![Heading::words("Arm"), Heading::words("Dataset")];
    columns.extend(classes.iter().map(|c| Heading::numbers(*c)));
    let mut rows = Vec::new();
    for (row, dataset, _) in view.groups() {
        let (row, dataset) = (&view.rows[row].name, &view.datasets[dataset]);
        let mut entries = vec![Entry::words(row), Entry::words(dataset)];
        for class in &classes {
            let counts: Vec<&Rate> = (lines.iter())
                .filter(|l| l.row == row && l.dataset == dataset && l.rate.class == *class)
                .map(|l| l.rate)
                .collect();
            let (count, of) = (counts.iter().map(|r| r.count).sum::<u64>(), counts.iter().map(|r| r.of).sum::<u64>());
            entries.push(if counts.is_empty() {
                Entry::empty()
            } else if of == 0 {
                Entry::words("0/0")
            } else {
                let rate = 100.0 * count as f64 / of as f64;
                Entry::number(rate, format!("{rate:.1} ({count}/{of})"))
            });
        }
        rows.push(entries);
    }
    let data = frame(
        "hallucination",
        vec![
            Column::new("arm".into(), lines.iter().map(|l| l.row).collect::<Vec<_>>()),
            Column::new("dataset".into(), lines.iter().map(|l| l.dataset).collect::<Vec<_>>()),
            Column::new("seed".into(), lines.iter().map(|l| l.seed).collect::<Vec<_>>()),
            Column::new("class".into(), lines.iter().map(|l| l.rate.class.as_str()).collect::<Vec<_>>()),
            Column::new("count".into(), lines.iter().map(|l| l.rate.count).collect::<Vec<_>>()),
            Column::new("of".into(), lines.iter().map(|l| l.rate.of).collect::<Vec<_>>()),
            Column::new("low".into(), lines.iter().map(|l| l.rate.low).collect::<Vec<_>>()),
            Column::new("high".into(), lines.iter().map(|l| l.rate.high).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![
        "Percent (count/denominator), summed over seeds. The CSV has every seed with its exact interval.".to_owned(),
        format!("Signature: {}.", view.signature()),
    ];
    Ok(Some(Table { stem: "hallucination", title: "Hallucinations by class".into(), columns, rows, notes, data }))
}
