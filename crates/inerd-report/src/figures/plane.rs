//! Masking rules as a plane of cost and quality: who is upper left of all others wins.

use std::collections::BTreeSet;

use polars::prelude::Column as Series;

use super::chart::{Axis, Column, Key, Plot};
use super::{Figure, Points};
use crate::Error;
use crate::draw::style::{HAIRLINE, Look, Marker, Tag, Trace, solid};
use crate::frame::frame;
use crate::input::Cell;
use crate::view::View;

const STEM: &str = "masks";

/// One row: the mean over datasets, and what it is the mean of.
struct Place {
    name: String,
    at: (f64, f64),
    tag: Tag,
    /// Each dataset; each seed where there is one dataset.
    parts: Vec<((f64, f64), Tag)>,
}

/// Seconds per 1,000 sentences.
fn cost(cell: &Cell) -> Option<f64> {
    let sentences = cell.scores.as_ref()?.ids.len() as f64;
    (sentences > 0.0 && cell.cost.generation_seconds > 0.0).then(|| 1000.0 * cell.cost.generation_seconds / sentences)
}

fn mean(values: &[(f64, f64)]) -> (f64, f64) {
    let n = values.len() as f64;
    (values.iter().map(|v| v.0).sum::<f64>() / n, values.iter().map(|v| v.1).sum::<f64>() / n)
}

pub(super) fn figure<'a>(view: &'a View<'a>) -> Result<Option<Figure<'a>>, Error> {
    let metric = view.metric.kind.name();
    let mut points = Points::new(STEM);
    let mut places: Vec<Place> = Vec::new();
    let mut tidy: Vec<(&str, &Cell, String, f64, f64)> = Vec::new();
    let place = |cell: &Cell| cost(cell).zip(view.value(cell));
    let told = |(x, y): (f64, f64)| format!("{metric} {y:.2} at {x:.2} s per 1,000 sentences");
    // A mean over other datasets than the others' would be no comparison.
    let ruled = |row: usize, d: usize| view.cells(row, d).iter().any(|c| c.facts.masks.is_some());
    let tested = |row: usize| (0..view.datasets.len()).filter(|d| ruled(row, *d)).count();
    let most = (0..view.rows.len()).map(tested).max().unwrap_or(0);
    for row in (0..view.rows.len()).filter(|row| most > 0 && tested(*row) == most) {
        let arm = view.rows[row].name.as_str();
        let groups: Vec<(&str, Vec<&'a Cell>)> = (view.datasets.iter().enumerate())
            .map(|(d, name)| {
                let usable = |c: &&&Cell| c.facts.masks.is_some() && place(c).is_some();
                (name.as_str(), view.cells(row, d).iter().filter(usable).copied().collect::<Vec<_>>())
            })
            .filter(|(_, cells)| !cells.is_empty())
            .collect();
        if groups.len() < most {
            continue;
        }
        let means: Vec<(f64, f64)> =
            groups.iter().map(|(_, cells)| mean(&cells.iter().filter_map(|c| place(c)).collect::<Vec<_>>())).collect();
        let at = mean(&means);
        let all: Vec<&'a Cell> = groups.iter().flat_map(|(_, cells)| cells).copied().collect();
        for cell in &all {
            let rules = cell.facts.masks.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            tidy.extend(place(cell).map(|(x, y)| (arm, *cell, rules, x, y)));
        }
        let tag = points.name(&[arm], format!("{arm}: {} (n = {})", told(at), all.len()), all);
        let mut parts = Vec::new();
        if let [(_, cells)] = groups.as_slice() {
            for cell in cells {
                let Some(at) = place(cell) else { continue };
                let label = format!("{arm}, seed {}: {}", cell.seed, told(at));
                parts.push((at, points.name(&[arm, &format!("s{}", cell.seed)], label, vec![*cell])));
            }
        } else {
            for ((dataset, cells), at) in groups.iter().zip(&means) {
                let label = format!("{arm} on {dataset}: {} (n = {})", told(*at), cells.len());
                parts.push((*at, points.name(&[arm, dataset], label, cells.clone())));
            }
        }
        places.push(Place { name: arm.to_owned(), at, tag, parts });
    }
    let sets: BTreeSet<&str> = tidy.iter().map(|t| t.2.as_str()).collect();
    // Every generation has rules; the figure is for experiments that compare them.
    if sets.len() < 2 {
        return Ok(None);
    }
    let data = frame(
        STEM,
        vec![
            Series::new("arm".into(), tidy.iter().map(|t| t.0).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1.dataset.as_str()).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.1.seed).collect::<Vec<_>>()),
            Series::new("rules".into(), tidy.iter().map(|t| t.2.as_str()).collect::<Vec<_>>()),
            Series::new("seconds_per_1000".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
            Series::new("value".into(), tidy.iter().map(|t| t.4).collect::<Vec<_>>()),
        ],
    )?;
    let title = "Cost and quality of the masking rules".to_owned();
    let of = if most > 1 {
        "means over datasets and seeds, small ones datasets"
    } else {
        "means over seeds, small ones seeds"
    };
    let caption = format!(
        "{metric} against the time to generate, for every set of masking rules; upper left is better. Large markers are \
         {of}. Signature: {}.",
        view.signature()
    );
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let all = || places.iter().flat_map(|p| p.parts.iter().map(|(at, _)| *at).chain([p.at]));
            let key = |(i, place): (usize, &Place)| Key {
                name: place.name.clone(),
                look: Look::of(i),
                line: false,
                marker: true,
            };
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 56.0,
                x: Axis::linear("Seconds per 1,000 sentences", all().map(|at| at.0), true),
                y: Axis::linear(&format!("{metric} (points)"), all().map(|at| at.1), true).within(0.0, 100.0),
                legend: places.iter().enumerate().map(key).collect(),
            };
            plot.draw(|chart| {
                for (index, place) in places.iter().enumerate() {
                    let look = Look::of(index);
                    let spokes = place.parts.iter().map(|(at, _)| vec![place.at, *at]);
                    chart.draw_series(spokes.map(|ends| Trace::new(ends, solid(look.faint(0.4), HAIRLINE))))?;
                    let part = |(at, tag): &((f64, f64), Tag)| Marker {
                        at: *at,
                        look,
                        radius: 0.55,
                        filled: false,
                        tag: Some(tag.clone()),
                    };
                    chart.draw_series(place.parts.iter().map(part))?;
                    let tag = Some(place.tag.clone());
                    chart.draw_series([Marker { at: place.at, look, radius: 1.1, filled: true, tag }])?;
                }
                Ok(())
            })
        }
    };
    Ok(Some(Figure { stem: STEM.into(), title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}
