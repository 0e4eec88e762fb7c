//! What the mask turned hallucinations into: the same checkpoint's answers without and with it.

use inerd_metrics::analysis::{TurnedInto, mask_effect};
use inerd_text::{Generation, Sentence};
use polars::prelude::Column;

use super::{Entry, Heading, Table};
use crate::Error;
use crate::frame::frame;
use crate::input::Cell;
use crate::view::View;

/// Outcomes in the order of columns.
const OUTCOMES: [(&str, fn(&TurnedInto) -> u64); 6] = [
    ("Correct", |t| t.correct),
    ("Wrong type", |t| t.wrong_type),
    ("Boundary", |t| t.boundary),
    ("Spurious", |t| t.spurious),
    ("Dropped", |t| t.dropped),
    ("Kept", |t| t.kept),
];

/// One class of hallucinations of one pair of cells.
struct Line {
    row: usize,
    dataset: usize,
    seed: u64,
    class: &'static str,
    turned: TurnedInto,
}

/// The fingerprints of the stages that made the cell's model.
fn checkpoint(cell: &Cell) -> Vec<&str> {
    let trains = |stage: &str| !matches!(stage, "corpus" | "generate" | "score");
    cell.stages.iter().filter(|s| trains(&s.stage)).map(|s| s.fingerprint.as_str()).collect()
}

/// Whether the cell was decoded without rules; `None` where that is not known.
fn is_free(cell: &Cell) -> Option<bool> {
    let rules = cell.facts.masks.as_ref()?;
    Some(rules.iter().all(|rule| rule == "none"))
}

/// The answers in the order of the gold sentences.
fn in_order(gold: &[Sentence], cell: &Cell) -> Option<Vec<Generation>> {
    gold.iter().map(|s| cell.generations.iter().find(|g| g.id == s.id).cloned()).collect()
}

fn lines(view: &View<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let cells = || view.input.cells.iter();
    for (row, dataset, masked_cells) in view.groups() {
        let Some(gold) = view.input.gold.iter().find(|set| set.dataset == view.datasets[dataset]) else { continue };
        for masked in masked_cells.iter().filter(|c| is_free(c) == Some(false) && !checkpoint(c).is_empty()) {
            let same = |free: &&Cell| {
                is_free(free) == Some(true)
                    && (free.seed, &free.dataset) == (masked.seed, &masked.dataset)
                    && checkpoint(free) == checkpoint(masked)
            };
            let found = cells().find(same).and_then(|free| {
                let schema = &masked.scores.as_ref()?.schema;
                let (before, after) = (in_order(&gold.sentences, free)?, in_order(&gold.sentences, masked)?);
                mask_effect(&gold.sentences, &before, &after, schema).ok()
            });
            let Some(effect) = found else { continue };
            let seed = masked.seed;
            let line = |(class, turned)| Line { row, dataset, seed, class, turned };
            let classes = effect.per_class.iter().map(|(class, turned)| (class.name(), *turned));
            lines.extend(classes.chain([("any", effect.all)]).map(line));
        }
    }
    lines
}

pub(super) fn table(view: &View<'_>) -> Result<Option<Table>, Error> {
    let lines = lines(view);
    if lines.is_empty() {
        return Ok(None);
    }
    // Seeds are summed; lines of one row and dataset stand together already.
    let mut keys: Vec<(usize, usize, &str)> = Vec::new();
    for line in &lines {
        let key = (line.row, line.dataset, line.class);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // "any" comes last, also where a later seed brought a class that the first did not have.
    keys.sort_by_key(|&(row, dataset, class)| (row, dataset, class == "any"));
    let rows = (keys.iter())
        .map(|&(row, dataset, class)| {
            let of_key = || lines.iter().filter(|l| (l.row, l.dataset, l.class) == (row, dataset, class));
            let total: u64 = of_key().map(|l| l.turned.total()).sum();
            let name = [view.rows[row].name.as_str(), view.datasets[dataset].as_str(), class];
            let mut entries: Vec<Entry> = name.into_iter().map(Entry::words).collect();
            entries.push(Entry::number(total as f64, total.to_string()));
            entries.extend(OUTCOMES.map(|(_, count)| {
                let count: u64 = of_key().map(|l| count(&l.turned)).sum();
                let percent = 100.0 * count as f64 / total.max(1) as f64;
                if total == 0 { Entry::empty() } else { Entry::number(percent, format!("{percent:.1} ({count})")) }
            }));
            entries
        })
        .collect();
    let mut columns: Vec<Heading> = ["Arm", "Dataset", "Class"].into_iter().map(Heading::words).collect();
    columns.push(Heading::numbers("Hallucinated"));
    columns.extend(OUTCOMES.iter().map(|(name, _)| Heading::numbers(*name)));
    let mut data = vec![
        Column::new("arm".into(), lines.iter().map(|l| view.rows[l.row].name.as_str()).collect::<Vec<_>>()),
        Column::new("dataset".into(), lines.iter().map(|l| view.datasets[l.dataset].as_str()).collect::<Vec<_>>()),
        Column::new("seed".into(), lines.iter().map(|l| l.seed).collect::<Vec<_>>()),
        Column::new("class".into(), lines.iter().map(|l| l.class).collect::<Vec<_>>()),
    ];
    data.extend(OUTCOMES.iter().map(|(name, count)| {
        let name = name.to_lowercase().replace(' ', "_");
        Column::new(name.into(), lines.iter().map(|l| count(&l.turned)).collect::<Vec<_>>())
    }));
    let notes = vec![
        "Each entity that the checkpoint hallucinated without a mask, by what stands in its place in the answer of the \
         same checkpoint under the arm's mask. Percent (count), counts summed over seeds; an entity in several classes \
         counts in each, and once in \"any\". Dropped: the masked answer has nothing there. Kept: the arm's rules allow it."
            .to_owned(),
    ];
    let title = "What the mask turned hallucinations into".into();
    Ok(Some(Table { stem: "mask-effect", title, columns, rows, notes, data: frame("mask-effect", data)? }))
}
