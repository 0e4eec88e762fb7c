//! What the arms wrote that the task makes impossible, by class and by masking rules.

use inerd_metrics::{Hallucinations, Rate};
use polars::prelude::Column;

use super::{Entry, Heading, Table};
use crate::Error;
use crate::frame::frame;
use crate::input::Cell;
use crate::view::View;

struct Line<'a> {
    row: &'a str,
    dataset: &'a str,
    seed: u64,
    rules: String,
    class: &'static str,
    rate: Rate,
}

/// The classes and "any", in the order of reports.
fn rates(found: &Hallucinations) -> impl Iterator<Item = (&'static str, Rate)> {
    found.classes.iter().map(|(class, rate)| (class.name(), *rate)).chain([("any", found.any)])
}

/// By arm and dataset; the masking rules in force stand beside the arm.
pub(super) fn table(view: &View<'_>) -> Result<Option<Table>, Error> {
    let classes = classes(view);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut rows = Vec::new();
    let ruled = view.input.cells.iter().any(|c| c.facts.masks.is_some());
    for (row, dataset, cells) in view.groups() {
        let (row, dataset) = (view.rows[row].name.as_str(), view.datasets[dataset].as_str());
        let found: Vec<&Hallucinations> =
            cells.iter().filter_map(|c| c.scores.as_ref()).map(|s| &s.hallucinations).collect();
        for (cell, found) in cells.iter().filter_map(|c| Some((c, &c.scores.as_ref()?.hallucinations))) {
            let line = |(class, rate)| Line { row, dataset, seed: cell.seed, rules: rules(cell), class, rate };
            lines.extend(rates(found).map(line));
        }
        let mut entries = vec![Entry::words(row), Entry::words(dataset)];
        if ruled {
            let ruled = cells.iter().find(|c| c.facts.masks.is_some());
            entries.push(ruled.map_or_else(Entry::empty, |c| Entry::words(rules(c))));
        }
        entries.extend(classes.iter().map(|class| entry(sum(&found, class))));
        rows.push(entries);
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let mut columns = vec![Heading::words("Arm"), Heading::words("Dataset")];
    if ruled {
        columns.push(Heading::words("Rules"));
    }
    columns.extend(classes.iter().map(|c| Heading::numbers(*c)));
    let data = frame(
        "hallucination",
        vec![
            Column::new("arm".into(), lines.iter().map(|l| l.row).collect::<Vec<_>>()),
            Column::new("dataset".into(), lines.iter().map(|l| l.dataset).collect::<Vec<_>>()),
            Column::new("seed".into(), lines.iter().map(|l| l.seed).collect::<Vec<_>>()),
            Column::new("rules".into(), lines.iter().map(|l| l.rules.as_str()).collect::<Vec<_>>()),
            Column::new("class".into(), lines.iter().map(|l| l.class).collect::<Vec<_>>()),
            Column::new("count".into(), lines.iter().map(|l| l.rate.count).collect::<Vec<_>>()),
            Column::new("of".into(), lines.iter().map(|l| l.rate.of).collect::<Vec<_>>()),
            Column::new("rate".into(), lines.iter().map(|l| l.rate.rate).collect::<Vec<_>>()),
            Column::new("low".into(), lines.iter().map(|l| l.rate.low).collect::<Vec<_>>()),
            Column::new("high".into(), lines.iter().map(|l| l.rate.high).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![
        format!("{COUNTED} Every seed with its exact 95 % interval (Clopper-Pearson) is in the CSV."),
        format!("Signature: {}.", view.signature()),
    ];
    Ok(Some(Table { stem: "hallucination", title: "Hallucinations by class".into(), columns, rows, notes, data }))
}

const COUNTED: &str = "Percent (count/denominator), counts summed over seeds; the denominator is the number of outputs for \
                       unparsable and truncated, of predicted entities otherwise.";

/// By masking rules, over all arms and datasets that were decoded with them.
pub(super) fn by_rules(view: &View<'_>) -> Result<Option<Table>, Error> {
    let mut sets: Vec<(String, Vec<&Hallucinations>)> = Vec::new();
    for cell in view.groups().flat_map(|(_, _, cells)| cells).filter(|c| c.facts.masks.is_some()) {
        let Some(scores) = &cell.scores else { continue };
        let rules = rules(cell);
        match sets.iter_mut().find(|(known, _)| *known == rules) {
            Some((_, found)) => found.push(&scores.hallucinations),
            None => sets.push((rules, vec![&scores.hallucinations])),
        }
    }
    // With one set of rules the table by arm says it all.
    if sets.len() < 2 {
        return Ok(None);
    }
    let classes = classes(view);
    let rows = (sets.iter())
        .map(|(rules, found)| {
            let counted = classes.iter().map(|class| entry(sum(found, class)));
            [Entry::words(rules), Entry::number(found.len() as f64, found.len().to_string())]
                .into_iter()
                .chain(counted)
                .collect()
        })
        .collect();
    let mut columns = vec![Heading::words("Rules"), Heading::numbers("Runs")];
    columns.extend(classes.iter().map(|c| Heading::numbers(*c)));
    let lines: Vec<(&str, &str, Rate)> = (sets.iter())
        .flat_map(|(rules, found)| classes.iter().map(move |class| (rules.as_str(), *class, sum(found, class))))
        .collect();
    let data = frame(
        "hallucination-rules",
        vec![
            Column::new("rules".into(), lines.iter().map(|l| l.0).collect::<Vec<_>>()),
            Column::new("class".into(), lines.iter().map(|l| l.1).collect::<Vec<_>>()),
            Column::new("count".into(), lines.iter().map(|l| l.2.count).collect::<Vec<_>>()),
            Column::new("of".into(), lines.iter().map(|l| l.2.of).collect::<Vec<_>>()),
            Column::new("rate".into(), lines.iter().map(|l| l.2.rate).collect::<Vec<_>>()),
            Column::new("low".into(), lines.iter().map(|l| l.2.low).collect::<Vec<_>>()),
            Column::new("high".into(), lines.iter().map(|l| l.2.high).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![format!("{COUNTED} Over all arms, datasets and seeds decoded under the rules.")];
    let title = "Hallucinations by class and masking rules".into();
    Ok(Some(Table { stem: "hallucination-rules", title, columns, rows, notes, data }))
}

/// The classes that occur, in the order of reports.
fn classes<'a>(view: &View<'a>) -> Vec<&'a str> {
    let mut classes: Vec<&str> = Vec::new();
    for (class, _) in view.input.cells.iter().filter_map(|c| c.scores.as_ref()).flat_map(|s| rates(&s.hallucinations)) {
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    classes
}

fn sum(found: &[&Hallucinations], class: &str) -> Rate {
    let of_class = found.iter().flat_map(|f| rates(f)).filter(|(c, _)| *c == class);
    let (count, of) = of_class.fold((0, 0), |(count, of), (_, r)| (count + r.count, of + r.of));
    Rate::new(count, of)
}

/// The masking rules that a cell was decoded with, in words.
fn rules(cell: &Cell) -> String {
    match cell.facts.masks.as_deref() {
        None => String::new(),
        Some([]) => "none".to_owned(),
        Some(rules) => rules.join(" "),
    }
}

fn entry(rate: Rate) -> Entry {
    if rate.of == 0 {
        return Entry::empty();
    }
    let percent = 100.0 * rate.rate;
    Entry::number(percent, format!("{percent:.1} ({}/{})", rate.count, rate.of))
}
