//! Leave one out: the score on every dataset when one was not in coarse-tuning.

use std::collections::BTreeMap;

use polars::prelude::Column as Series;

use super::heat::{Field, Heat};
use super::{Column, Figure, Points};
use crate::Error;
use crate::draw::style::Tag;
use crate::escape::slug;
use crate::frame::frame;
use crate::input::Cell;
use crate::view::{Line, View};

const STEM: &str = "leave-one-out";
/// The row of what was tuned on the whole pool, for comparison.
const NOTHING: &str = "(nothing)";

/// One matrix for each setting of the axes that have nothing to do with what is left out.
pub(super) fn figures<'a>(view: &'a View<'a>) -> Result<Vec<Figure<'a>>, Error> {
    let lines = view.lines(|cell| cell.facts.left_out.clone().filter(|_| view.value(cell).is_some()), true);
    let leaves_one =
        |line: &&Line<'a>| line.cells.iter().any(|c| c.facts.left_out.as_ref().is_some_and(|l| l.len() == 1));
    let chosen: Vec<&Line<'a>> = lines.iter().filter(leaves_one).collect();
    let mut figures = Vec::new();
    for line in &chosen {
        let whole = |l: &&Line<'a>| l.axes == line.axes && l.cells.iter().all(|c| c.facts.left_out == Some(Vec::new()));
        let mut whole = lines.iter().filter(whole);
        // Two arms on the whole pool: neither is *the* one to compare with.
        let whole = whole.next().filter(|_| whole.next().is_none());
        let stem = if chosen.len() == 1 { STEM.to_owned() } else { format!("{STEM}-{}", slug(&line.name)) };
        figures.push(figure(view, line, whole, &stem)?);
    }
    Ok(figures)
}

fn figure<'a>(view: &'a View<'a>, line: &Line<'a>, whole: Option<&Line<'a>>, stem: &str) -> Result<Figure<'a>, Error> {
    // (row, dataset) → cells, rows in the order of datasets.
    let mut grouped: BTreeMap<(usize, usize), Vec<&'a Cell>> = BTreeMap::new();
    let mut rows: Vec<&str> = Vec::new();
    let cells = || line.cells.iter().chain(whole.iter().flat_map(|l| &l.cells)).copied();
    let left_out = |cell: &'a Cell| match cell.facts.left_out.as_deref() {
        Some([]) => Some(NOTHING),
        Some([one]) => Some(one.as_str()),
        _ => None,
    };
    let order = |name: &str| view.datasets.iter().position(|d| d == name);
    rows.extend(cells().filter_map(left_out));
    rows.sort_by_key(|row| (*row == NOTHING, order(row).is_none(), order(row), *row));
    rows.dedup();
    for cell in cells() {
        let row = left_out(cell).and_then(|name| rows.iter().position(|r| *r == name));
        if let (Some(row), Some(dataset)) = (row, order(&cell.dataset)) {
            grouped.entry((row, dataset)).or_default().push(cell);
        }
    }
    let metric = view.metric.kind.name();
    let mut points = Points::new(stem);
    let mut tidy = Vec::new();
    let mut values: BTreeMap<(usize, usize), (f64, Tag)> = BTreeMap::new();
    for (&(row, dataset), cells) in &grouped {
        let summary = view.summarise(cells, |c| view.value(c));
        let Some(mean) = summary.mean else { continue };
        let (left_out, data) = (rows[row], view.datasets[dataset].as_str());
        tidy.extend(cells.iter().filter_map(|c| Some((left_out, data, c.seed, view.value(c)?))));
        let label = format!("without {left_out}, on {data}: {metric} {mean:.2} (n = {})", summary.n());
        values.insert((row, dataset), (mean, points.name(&[left_out, data], label, cells.clone())));
    }
    let data = frame(
        stem,
        vec![
            Series::new("left_out".into(), tidy.iter().map(|t| t.0).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Series::new("value".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
        ],
    )?;
    let title = match stem {
        STEM => "Leave one dataset out".to_owned(),
        _ => format!("Leave one dataset out: {}", line.name),
    };
    let caption = format!(
        "Mean {metric} on every dataset (columns) when one dataset (rows) was left out of tuning. Shades run from the \
         lowest to the highest mean. Signature: {}.",
        view.signature()
    );
    let rows: Vec<String> = rows.into_iter().map(str::to_owned).collect();
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let means = || values.values().map(|(mean, _)| *mean);
            let (low, high) = (means().fold(f64::INFINITY, f64::min), means().fold(f64::NEG_INFINITY, f64::max));
            let field = |row: usize, dataset: usize| {
                let (mean, tag) = values.get(&(row, dataset))?;
                let shade = 0.1 + 0.8 * (mean - low) / (high - low).max(1e-9);
                Some(Field { shade, text: format!("{mean:.1}"), tag: Some(tag.clone()) })
            };
            let fields = |row| (0..view.datasets.len()).map(|dataset| field(row, dataset)).collect();
            let heat = Heat {
                title: &title,
                caption: &caption,
                rows: &rows,
                columns: &view.datasets,
                row_label: "Left out",
                column_label: "Tested on",
                fields: (0..rows.len()).map(fields).collect(),
            };
            heat.draw(column)
        }
    };
    let points = points.into_origins();
    Ok(Figure { stem: stem.to_owned(), title, caption, data, points, draw: Box::new(draw) })
}
