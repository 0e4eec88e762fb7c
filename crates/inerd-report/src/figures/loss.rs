//! Training loss over steps: one line per row, the mean of its runs, each run faintly behind it.

use std::collections::BTreeMap;

use polars::prelude::Column as Series;

use super::chart::{Axis, Column, Key, Plot};
use super::{Figure, Points};
use crate::Error;
use crate::draw::style::{HAIRLINE, LINE, Look, Tag, Trace, solid};
use crate::frame::frame;
use crate::input::CurvePoint;
use crate::view::View;

const STEM: &str = "loss";
/// Points drawn of one run's curve; more cannot be told apart at the figure's width.
const DRAWN: usize = 400;

struct Run {
    row: usize,
    points: Vec<(f64, f64)>,
    tag: Tag,
}

pub(super) fn figure<'a>(view: &'a View<'a>) -> Result<Option<Figure<'a>>, Error> {
    // Of several training stages the last one is the cell's own; earlier ones are shared by many cells.
    let last_stage = |curve: &'a [CurvePoint]| {
        let stage = curve.last().map(|p| p.stage.as_str());
        curve.iter().filter(move |p| Some(p.stage.as_str()) == stage)
    };
    let mut names = Points::new(STEM);
    let mut runs: Vec<Run> = Vec::new();
    let mut tidy: Vec<(&str, &str, u64, &CurvePoint)> = Vec::new();
    let mut seen: Vec<(usize, &[CurvePoint])> = Vec::new();
    for (row, dataset, cells) in view.groups() {
        let (arm, data) = (view.rows[row].name.as_str(), view.datasets[dataset].as_str());
        for cell in cells {
            // One model tested on several datasets was trained once.
            if cell.curve.is_empty() || seen.contains(&(row, &cell.curve)) {
                continue;
            }
            seen.push((row, &cell.curve));
            tidy.extend(cell.curve.iter().map(|p| (arm, data, cell.seed, p)));
            let points: Vec<(f64, f64)> =
                last_stage(&cell.curve).filter(|p| p.loss.is_finite()).map(|p| (p.step as f64, p.loss)).collect();
            let label = format!("{arm} on {data}, seed {}", cell.seed);
            let tag = names.name(&[arm, data, &format!("s{}", cell.seed)], label, vec![*cell]);
            runs.push(Run { row, points: thin(&points), tag });
        }
    }
    if runs.is_empty() {
        return Ok(None);
    }
    let data = frame(
        STEM,
        vec![
            Series::new("arm".into(), tidy.iter().map(|t| t.0).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Series::new("stage".into(), tidy.iter().map(|t| t.3.stage.as_str()).collect::<Vec<_>>()),
            Series::new("step".into(), tidy.iter().map(|t| t.3.step).collect::<Vec<_>>()),
            Series::new("loss".into(), tidy.iter().map(|t| t.3.loss).collect::<Vec<_>>()),
            Series::new("validation_loss".into(), tidy.iter().map(|t| t.3.validation_loss).collect::<Vec<_>>()),
            Series::new("learning_rate".into(), tidy.iter().map(|t| t.3.learning_rate).collect::<Vec<_>>()),
            Series::new("seconds".into(), tidy.iter().map(|t| t.3.seconds).collect::<Vec<_>>()),
        ],
    )?;
    let title = "Training loss".to_owned();
    let caption =
        "Training loss (mean negative log-likelihood per response token, nats) over the optimiser steps of each \
                   run's last training stage. Strong lines are means over runs, faint lines single runs."
            .to_owned();
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let mut rows: Vec<usize> = runs.iter().map(|r| r.row).collect();
            rows.dedup();
            let all = || runs.iter().flat_map(|r| r.points.iter());
            let key = |row: &usize| Key {
                name: view.rows[*row].name.clone(),
                look: Look::of(*row),
                line: true,
                marker: false,
            };
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 52.0,
                x: Axis::tight("Step", all().map(|p| p.0)),
                y: Axis::linear("Loss (nats per token)", all().map(|p| p.1), true),
                legend: rows.iter().map(key).collect(),
            };
            plot.draw(|chart| {
                chart.draw_series(runs.iter().map(|run| Trace {
                    points: run.points.clone(),
                    paint: solid(Look::of(run.row).faint(0.3), HAIRLINE),
                    tag: Some(run.tag.clone()),
                }))?;
                for row in &rows {
                    let look = Look::of(*row);
                    chart.draw_series([Trace::new(mean_curve(&runs, *row), look.line(LINE))])?;
                }
                Ok(())
            })
        }
    };
    Ok(Some(Figure { stem: STEM.into(), title, caption, data, points: names.into_origins(), draw: Box::new(draw) }))
}

/// Means of neighbouring points, so that a long run is drawn with [`DRAWN`] points.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(DRAWN).max(1);
    let mean = |chunk: &[(f64, f64)]| {
        let n = chunk.len() as f64;
        (chunk.iter().map(|p| p.0).sum::<f64>() / n, chunk.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(size).map(mean).collect()
}

/// The mean at every step that all runs of the row have: a mean over fewer would jump where a run ends.
fn mean_curve(runs: &[Run], row: usize) -> Vec<(f64, f64)> {
    let runs: Vec<&Run> = runs.iter().filter(|r| r.row == row).collect();
    // Steps are whole numbers or means of a few of them: thousandths tell them apart.
    let mut at: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (step, loss) in runs.iter().flat_map(|r| &r.points) {
        at.entry((step * 1000.0).round() as i64).or_default().push(*loss);
    }
    (at.into_iter())
        .filter(|(_, losses)| losses.len() == runs.len())
        .map(|(step, losses)| (step as f64 / 1000.0, losses.iter().sum::<f64>() / losses.len() as f64))
        .collect()
}
