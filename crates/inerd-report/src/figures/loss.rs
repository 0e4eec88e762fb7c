//! Training loss over steps: one line per training, the mean of its runs, each run faintly behind it.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::Column as Series;

use super::chart::{Axis, Column, Key, Plot};
use super::{Figure, Points};
use crate::Error;
use crate::draw::style::{HAIRLINE, LINE, Look, Marker, Tag, Trace, solid};
use crate::frame::frame;
use crate::input::{Cell, CurvePoint};
use crate::view::{View, row_name};

const STEM: &str = "loss";
/// Points drawn of one run's curve; more cannot be told apart at the figure's width.
const DRAWN: usize = 400;

/// Rows whose cells were trained by the same runs: they differ in what comes after.
struct Training<'a> {
    rows: Vec<usize>,
    name: String,
    runs: Vec<&'a Cell>,
}

struct Run {
    training: usize,
    points: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
    tag: Tag,
}

/// The run that a cell's curve is of: its last training stage.
fn trained_by(cell: &Cell) -> Option<&str> {
    let stage = &cell.curve.last()?.stage;
    cell.stages.iter().find(|s| s.stage == *stage).map(|s| s.fingerprint.as_str())
}

/// The points of the last training stage: earlier ones are shared by many cells.
fn last_stage(curve: &[CurvePoint]) -> impl Iterator<Item = &CurvePoint> {
    let stage = curve.last().map(|p| p.stage.as_str());
    curve.iter().filter(move |p| Some(p.stage.as_str()) == stage && p.loss.is_finite())
}

fn trainings<'a>(view: &View<'a>) -> Vec<Training<'a>> {
    let mut found: Vec<(BTreeSet<&str>, Training<'a>)> = Vec::new();
    for row in 0..view.rows.len() {
        let mut runs: BTreeMap<&str, &'a Cell> = BTreeMap::new();
        for cell in (0..view.datasets.len()).flat_map(|dataset| view.cells(row, dataset)) {
            // One model tested on several datasets was trained once.
            if let Some(run) = trained_by(cell) {
                runs.entry(run).or_insert(cell);
            }
        }
        let names: BTreeSet<&str> = runs.keys().copied().collect();
        if names.is_empty() {
            continue;
        }
        // Where something is missing yet, one row has more of the same runs than the other.
        match found.iter_mut().find(|(known, _)| names.is_subset(known) || known.is_subset(&names)) {
            Some((known, training)) => {
                training.runs.extend(runs.iter().filter(|(run, _)| !known.contains(*run)).map(|(_, cell)| *cell));
                training.rows.push(row);
                known.extend(names);
            }
            None => {
                let runs = runs.into_values().collect();
                found.push((names, Training { rows: vec![row], name: String::new(), runs }));
            }
        }
    }
    let mut trainings: Vec<Training<'a>> = found.into_iter().map(|(_, training)| training).collect();
    // Named by what its rows have in common.
    let common: Vec<(Vec<&str>, BTreeMap<String, String>)> = (trainings.iter())
        .map(|training| {
            let rows = || training.rows.iter().map(|row| &view.rows[*row]);
            let mut arms: Vec<&str> = rows().map(|r| r.arm.as_str()).collect();
            arms.dedup();
            let mut axes = rows().next().map(|r| r.axes.clone()).unwrap_or_default();
            axes.retain(|key, value| rows().all(|r| r.axes.get(key) == Some(value)));
            (arms, axes)
        })
        .collect();
    for (training, (arms, axes)) in trainings.iter_mut().zip(&common) {
        let same: Vec<_> = common.iter().filter(|(other, _)| other == arms).map(|(_, axes)| axes).collect();
        training.name = row_name(&arms.join(" / "), axes, &same);
    }
    trainings
}

pub(super) fn figure<'a>(view: &'a View<'a>) -> Result<Option<Figure<'a>>, Error> {
    let mut names = Points::new(STEM);
    let mut runs: Vec<Run> = Vec::new();
    let mut tidy: Vec<(&str, &str, u64, &CurvePoint)> = Vec::new();
    let trainings = trainings(view);
    for (index, training) in trainings.iter().enumerate() {
        for cell in &training.runs {
            tidy.extend(cell.curve.iter().map(|p| (training.name.as_str(), cell.dataset.as_str(), cell.seed, p)));
            let points: Vec<(f64, f64)> = last_stage(&cell.curve).map(|p| (p.step as f64, p.loss)).collect();
            let look = |p: &CurvePoint| Some((p.step as f64, p.validation_loss.filter(|loss| loss.is_finite())?));
            let validation = last_stage(&cell.curve).filter_map(look).collect();
            let label = format!("{} on {}, seed {}", training.name, cell.dataset, cell.seed);
            let tag = names.name(&[&training.name, &cell.dataset, &format!("s{}", cell.seed)], label, vec![*cell]);
            runs.push(Run { training: index, points: thin(&points), validation, tag });
        }
    }
    if runs.is_empty() {
        return Ok(None);
    }
    let data = frame(
        STEM,
        vec![
            Series::new("training".into(), tidy.iter().map(|t| t.0).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Series::new("stage".into(), tidy.iter().map(|t| t.3.stage.as_str()).collect::<Vec<_>>()),
            Series::new("step".into(), tidy.iter().map(|t| t.3.step).collect::<Vec<_>>()),
            Series::new("loss".into(), tidy.iter().map(|t| t.3.loss).collect::<Vec<_>>()),
            Series::new("validation_loss".into(), tidy.iter().map(|t| t.3.validation_loss).collect::<Vec<_>>()),
            Series::new("learning_rate".into(), tidy.iter().map(|t| t.3.learning_rate).collect::<Vec<_>>()),
        ],
    )?;
    let title = "Training loss".to_owned();
    let mut caption =
        "Training loss (mean negative log-likelihood per response token, nats) over the optimiser steps of \
                       each run's last training stage. Strong lines are means over runs, as far as all of them went, \
                       faint lines single runs."
            .to_owned();
    if runs.iter().any(|r| !r.validation.is_empty()) {
        caption += " Open markers: loss on the validation split.";
    }
    let trained: Vec<String> = trainings.iter().map(|t| t.name.clone()).collect();
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let all = || runs.iter().flat_map(|r| r.points.iter().chain(&r.validation));
            let validated = |i: usize| runs.iter().any(|r| r.training == i && !r.validation.is_empty());
            let key = |(i, name): (usize, &String)| Key {
                name: name.clone(),
                look: Look::of(i),
                line: true,
                marker: validated(i),
            };
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 52.0,
                x: Axis::tight("Step", all().map(|p| p.0)),
                y: Axis::linear("Loss (nats per token)", all().map(|p| p.1), true),
                legend: trained.iter().enumerate().map(key).collect(),
            };
            plot.draw(|chart| {
                chart.draw_series(runs.iter().map(|run| Trace {
                    points: run.points.clone(),
                    paint: solid(Look::of(run.training).faint(0.3), HAIRLINE),
                    tag: Some(run.tag.clone()),
                }))?;
                for training in 0..trained.len() {
                    let look = Look::of(training);
                    chart.draw_series([Trace::new(mean_curve(&runs, training), look.line(LINE))])?;
                    let looks = runs.iter().filter(|r| r.training == training).flat_map(|r| &r.validation);
                    let marker = |at: &(f64, f64)| Marker { at: *at, look, radius: 0.55, filled: false, tag: None };
                    chart.draw_series(looks.map(marker))?;
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

/// The mean at every step that all runs of the training have: a mean over fewer would jump where a run ends.
fn mean_curve(runs: &[Run], training: usize) -> Vec<(f64, f64)> {
    let runs: Vec<&Run> = runs.iter().filter(|r| r.training == training).collect();
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
