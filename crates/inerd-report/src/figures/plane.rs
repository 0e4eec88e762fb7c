//! Masking rules as a plane of cost and quality: who is upper left of all others wins.

use std::collections::BTreeSet;

use polars::prelude::Column as Series;

use super::chart::{Axis, Column, Key, Plot};
use super::{Figure, Points};
use crate::Error;
use crate::draw::style::{HAIRLINE, Look, Marker, Tag, Trace, solid};
use crate::frame::frame;
use crate::input::Cell;
use crate::view::{Summary, View};

const STEM: &str = "masks";

struct Place {
    look: usize,
    cost: Summary,
    quality: Summary,
    tag: Tag,
}

/// Seconds per 1,000 sentences.
fn cost(cell: &Cell) -> Option<f64> {
    let sentences = cell.scores.as_ref()?.ids.len() as f64;
    (sentences > 0.0 && cell.cost.generation_seconds > 0.0).then(|| 1000.0 * cell.cost.generation_seconds / sentences)
}

pub(super) fn figure<'a>(view: &'a View<'a>) -> Result<Option<Figure<'a>>, Error> {
    let metric = view.metric.kind.name();
    let mut points = Points::new(STEM);
    let mut places: Vec<Place> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut tidy: Vec<(&str, &str, &Cell, String, f64, f64)> = Vec::new();
    for (row, dataset, cells) in view.groups() {
        let cells: Vec<&Cell> = cells
            .iter()
            .copied()
            .filter(|c| c.facts.masks.is_some() && cost(c).is_some() && view.value(c).is_some())
            .collect();
        let (arm, data) = (view.rows[row].name.as_str(), view.datasets[dataset].as_str());
        let (seconds, quality) = (view.summarise(&cells, cost), view.summarise(&cells, |c| view.value(c)));
        let (Some(x), Some(y)) = (seconds.mean, quality.mean) else { continue };
        let name = if view.datasets.len() == 1 { arm.to_owned() } else { format!("{arm}, {data}") };
        let label = format!("{name}: {metric} {y:.2} at {x:.2} s per 1,000 sentences (n = {})", quality.n());
        for cell in &cells {
            if let (Some(x), Some(y)) = (cost(cell), view.value(cell)) {
                tidy.push((
                    arm,
                    data,
                    cell,
                    cell.facts.masks.iter().flatten().cloned().collect::<Vec<_>>().join(" "),
                    x,
                    y,
                ));
            }
        }
        let tag = points.name(&[arm, data], label, cells);
        places.push(Place { look: names.len(), cost: seconds, quality, tag });
        names.push(name);
    }
    let sets: BTreeSet<&str> = tidy.iter().map(|t| t.3.as_str()).collect();
    // Every generation has rules; the figure is for experiments that compare them.
    if sets.len() < 2 {
        return Ok(None);
    }
    let data = frame(
        STEM,
        vec![
            Series::new("arm".into(), tidy.iter().map(|t| t.0).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.2.seed).collect::<Vec<_>>()),
            Series::new("rules".into(), tidy.iter().map(|t| t.3.as_str()).collect::<Vec<_>>()),
            Series::new("seconds_per_1000".into(), tidy.iter().map(|t| t.4).collect::<Vec<_>>()),
            Series::new("value".into(), tidy.iter().map(|t| t.5).collect::<Vec<_>>()),
        ],
    )?;
    let title = "Cost and quality of the masking rules".to_owned();
    let caption = format!(
        "{metric} against the time to generate, for every set of masking rules: means over seeds, crosses one sample \
         deviation each way (from three seeds on). Signature: {}.",
        view.signature()
    );
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let ends = |s: &Summary| {
                let (mean, d) = (s.mean.unwrap_or(0.0), s.deviation.unwrap_or(0.0));
                [mean - d, mean + d]
            };
            let key =
                |(i, name): (usize, &String)| Key { name: name.clone(), look: Look::of(i), line: false, marker: true };
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 56.0,
                x: Axis::linear("Seconds per 1,000 sentences", places.iter().flat_map(|p| ends(&p.cost)), false),
                y: Axis::linear(&format!("{metric} (points)"), places.iter().flat_map(|p| ends(&p.quality)), true),
                legend: names.iter().enumerate().map(key).collect(),
            };
            plot.draw(|chart| {
                for place in &places {
                    let look = Look::of(place.look);
                    let at = (place.cost.mean.unwrap_or(0.0), place.quality.mean.unwrap_or(0.0));
                    let ([left, right], [low, high]) = (ends(&place.cost), ends(&place.quality));
                    let whiskers = [vec![(left, at.1), (right, at.1)], vec![(at.0, low), (at.0, high)]];
                    chart.draw_series(whiskers.map(|ends| Trace::new(ends, solid(look.colour, HAIRLINE))))?;
                    let tag = Some(place.tag.clone());
                    chart.draw_series([Marker { at, look, radius: 1.0, filled: true, tag }])?;
                }
                Ok(())
            })
        }
    };
    Ok(Some(Figure { stem: STEM.into(), title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}
