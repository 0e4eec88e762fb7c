//! What the arms wrote that the task makes impossible, by class.

use inerd_metrics::{Hallucinations, Rate};
use polars::prelude::Column;

use super::{Entry, Heading, Table};
use crate::Error;
use crate::frame::frame;
use crate::view::View;

struct Line<'a> {
    row: &'a str,
    dataset: &'a str,
    seed: u64,
    class: &'static str,
    rate: Rate,
}

/// The classes and "any", in the order of reports.
fn rates(found: &Hallucinations) -> impl Iterator<Item = (&'static str, Rate)> {
    found.classes.iter().map(|(class, rate)| (class.name(), *rate)).chain([("any", found.any)])
}

pub(super) fn table(view: &View<'_>) -> Result<Option<Table>, Error> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut classes: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for (row, dataset, cells) in view.groups() {
        let (row, dataset) = (view.rows[row].name.as_str(), view.datasets[dataset].as_str());
        let found: Vec<_> =
            cells.iter().filter_map(|c| c.scores.as_ref().map(|s| (c.seed, &s.hallucinations))).collect();
        let mut entries = vec![Entry::words(row), Entry::words(dataset)];
        for (seed, found) in &found {
            for (class, rate) in rates(found) {
                if !classes.contains(&class) {
                    classes.push(class);
                }
                lines.push(Line { row, dataset, seed: *seed, class, rate });
            }
        }
        for class in &classes {
            let of_class = found.iter().flat_map(|(_, f)| rates(f)).filter(|(c, _)| c == class);
            let (count, of) = of_class.fold((0, 0), |(count, of), (_, r)| (count + r.count, of + r.of));
            entries.push(entry(Rate::new(count, of)));
        }
        rows.push(entries);
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let mut columns = vec![Heading::words("Arm"), Heading::words("Dataset")];
    columns.extend(classes.iter().map(|c| Heading::numbers(*c)));
    // Rows before the first scored one knew no classes yet.
    rows.iter_mut().for_each(|entries| entries.resize(columns.len(), Entry::empty()));
    let data = frame(
        "hallucination",
        vec![
            Column::new("arm".into(), lines.iter().map(|l| l.row).collect::<Vec<_>>()),
            Column::new("dataset".into(), lines.iter().map(|l| l.dataset).collect::<Vec<_>>()),
            Column::new("seed".into(), lines.iter().map(|l| l.seed).collect::<Vec<_>>()),
            Column::new("class".into(), lines.iter().map(|l| l.class).collect::<Vec<_>>()),
            Column::new("count".into(), lines.iter().map(|l| l.rate.count).collect::<Vec<_>>()),
            Column::new("of".into(), lines.iter().map(|l| l.rate.of).collect::<Vec<_>>()),
            Column::new("rate".into(), lines.iter().map(|l| l.rate.rate).collect::<Vec<_>>()),
            Column::new("low".into(), lines.iter().map(|l| l.rate.low).collect::<Vec<_>>()),
            Column::new("high".into(), lines.iter().map(|l| l.rate.high).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![
        "Percent (count/denominator), counts summed over seeds; the denominator is the number of outputs for unparsable \
         and truncated, of predicted entities otherwise. Every seed with its exact 95 % interval (Clopper-Pearson) is in \
         the CSV."
            .to_owned(),
        format!("Signature: {}.", view.signature()),
    ];
    Ok(Some(Table { stem: "hallucination", title: "Hallucinations by class".into(), columns, rows, notes, data }))
}

fn entry(rate: Rate) -> Entry {
    if rate.of == 0 {
        return Entry::empty();
    }
    let percent = 100.0 * rate.rate;
    Entry::number(percent, format!("{percent:.1} ({}/{})", rate.count, rate.of))
}
