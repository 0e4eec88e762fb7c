//! Leave one out: the score on every dataset when one was not in coarse-tuning.

use std::collections::BTreeMap;

use polars::prelude::Column as Series;

use super::heat::{Field, Heat};
use super::{Column, Figure, Points};
use crate::Error;
use crate::frame::frame;
use crate::input::Cell;
use crate::view::View;

const STEM: &str = "leave-one-out";

pub(super) fn figure<'a>(view: &'a View<'a>) -> Result<Option<Figure<'a>>, Error> {
    let mut grouped: BTreeMap<(&str, usize), Vec<&'a Cell>> = BTreeMap::new();
    for (_, dataset, cells) in view.groups() {
        for cell in cells {
            if let (Some(left_out), Some(_)) = (&cell.facts.left_out, view.value(cell)) {
                grouped.entry((left_out, dataset)).or_default().push(cell);
            }
        }
    }
    if grouped.is_empty() {
        return Ok(None);
    }
    let mut rows: Vec<String> = grouped.keys().map(|(left_out, _)| (*left_out).to_owned()).collect();
    rows.dedup();
    let metric = view.metric.kind.name();
    let mut points = Points::new(STEM);
    let mut tidy = Vec::new();
    let mut values = BTreeMap::new();
    for (&(left_out, dataset), cells) in &grouped {
        let summary = view.summarise(cells, |c| view.value(c));
        let Some(mean) = summary.mean else { continue };
        let data = view.datasets[dataset].as_str();
        tidy.extend(cells.iter().filter_map(|c| Some((left_out, data, c.seed, view.value(c)?))));
        let label = format!("without {left_out}, on {data}: {metric} {mean:.2} (n = {})", summary.n());
        values.insert((left_out.to_owned(), dataset), (mean, points.name(&[left_out, data], label, cells.clone())));
    }
    let data = frame(
        STEM,
        vec![
            Series::new("left_out".into(), tidy.iter().map(|t| t.0).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Series::new("value".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
        ],
    )?;
    let title = "Leave one dataset out".to_owned();
    let caption = format!(
        "Mean {metric} on every dataset (columns) when one dataset (rows) was left out of coarse-tuning. Shades run from \
         the lowest to the highest mean. Signature: {}.",
        view.signature()
    );
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let means = || values.values().map(|(mean, _)| *mean);
            let (low, high) = (means().fold(f64::INFINITY, f64::min), means().fold(f64::NEG_INFINITY, f64::max));
            let field = |left_out: &String, dataset: usize| {
                let (mean, tag) = values.get(&(left_out.clone(), dataset))?;
                let shade = 0.1 + 0.8 * (mean - low) / (high - low).max(1e-9);
                Some(Field { shade, text: format!("{mean:.1}"), tag: Some(tag.clone()) })
            };
            let heat = Heat {
                title: &title,
                caption: &caption,
                rows: &rows,
                columns: &view.datasets,
                row_label: "Left out",
                column_label: "Tested on",
                fields: rows.iter().map(|r| (0..view.datasets.len()).map(|d| field(r, d)).collect()).collect(),
            };
            heat.draw(column)
        }
    };
    Ok(Some(Figure { stem: STEM.into(), title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}
