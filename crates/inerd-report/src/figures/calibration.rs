//! Reliability: how often entities of a confidence are right.

use inerd_metrics::Rate;
use polars::prelude::Column as Series;

use super::chart::{Axis, Column, Key, Plot};
use super::{Figure, Points};
use crate::Error;
use crate::draw::scene::Paint;
use crate::draw::style::{HAIRLINE, INK, LINE, Look, Marker, Tag, Trace, solid};
use crate::frame::frame;
use crate::input::Cell;
use crate::view::View;

const STEM: &str = "calibration";
const BINS: usize = 10;

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    /// Summed.
    confidence: f64,
    correct: u64,
    count: u64,
}

struct Curve {
    row: usize,
    bins: [Bin; BINS],
    tags: Vec<Option<Tag>>,
}

pub(super) fn figure<'a>(view: &'a View<'a>) -> Result<Option<Figure<'a>>, Error> {
    let mut points = Points::new(STEM);
    let mut curves: Vec<Curve> = Vec::new();
    let mut errors: Vec<String> = Vec::new();
    for (row, r) in view.rows.iter().enumerate() {
        let (bins, cells) = bins(view, row);
        let total: u64 = bins.iter().map(|b| b.count).sum();
        if total == 0 {
            continue;
        }
        // Expected calibration error (Naeini et al. 2015): the gap, weighted by the bins' sizes.
        let gap = |b: &Bin| (b.confidence - b.correct as f64).abs();
        let expected = bins.iter().map(gap).sum::<f64>() / total as f64;
        errors.push(format!("{} {:.1} points", r.name, 100.0 * expected));
        let tags = (bins.iter().enumerate())
            .map(|(i, b)| {
                (b.count > 0).then(|| {
                    let (confidence, rate) = (b.confidence / b.count as f64, Rate::new(b.correct, b.count));
                    let label = format!(
                        "{}: confidence {:.1} %, correct {:.1} % ({}/{})",
                        r.name,
                        100.0 * confidence,
                        100.0 * rate.rate,
                        b.correct,
                        b.count
                    );
                    points.name(&[&r.name, &format!("bin{}", i + 1)], label, cells.clone())
                })
            })
            .collect();
        curves.push(Curve { row, bins, tags });
    }
    if curves.is_empty() {
        return Ok(None);
    }
    let lines: Vec<(&str, f64, Rate)> = (curves.iter())
        .flat_map(|c| c.bins.iter().filter(|b| b.count > 0).map(move |b| (c.row, b)))
        .map(|(row, b)| (view.rows[row].name.as_str(), b.confidence / b.count as f64, Rate::new(b.correct, b.count)))
        .collect();
    let data = frame(
        STEM,
        vec![
            Series::new("arm".into(), lines.iter().map(|l| l.0).collect::<Vec<_>>()),
            Series::new("confidence".into(), lines.iter().map(|l| l.1).collect::<Vec<_>>()),
            Series::new("correct".into(), lines.iter().map(|l| l.2.count).collect::<Vec<_>>()),
            Series::new("count".into(), lines.iter().map(|l| l.2.of).collect::<Vec<_>>()),
            Series::new("accuracy".into(), lines.iter().map(|l| l.2.rate).collect::<Vec<_>>()),
            Series::new("low".into(), lines.iter().map(|l| l.2.low).collect::<Vec<_>>()),
            Series::new("high".into(), lines.iter().map(|l| l.2.high).collect::<Vec<_>>()),
        ],
    )?;
    let title = "Calibration of entity confidence".to_owned();
    let caption = format!(
        "Share of predicted entities that are correct against their mean confidence, in ten bins of equal width over all \
         datasets and seeds; whiskers are exact 95 % intervals, the dashed line is perfect calibration. Expected \
         calibration error: {}.",
        errors.join(", ")
    );
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let key = |c: &Curve| Key {
                name: view.rows[c.row].name.clone(),
                look: Look::of(c.row),
                line: true,
                marker: true,
            };
            let percent = |label: &str| {
                let ticks = [0, 20, 40, 60, 80, 100].map(|v| (f64::from(v), v.to_string()));
                Axis { label: label.to_owned(), low: 0.0, high: 100.0, ticks: ticks.into(), grid: true, upright: false }
            };
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 62.0,
                x: percent("Confidence (%)"),
                y: percent("Correct (%)"),
                legend: curves.iter().map(key).collect(),
            };
            plot.draw(|chart| {
                let dashed = Paint::Stroke { colour: INK, width: HAIRLINE, dash: vec![1.0, 0.8] };
                chart.draw_series([Trace::new(vec![(0.0, 0.0), (100.0, 100.0)], dashed)])?;
                for curve in &curves {
                    let look = Look::of(curve.row);
                    let bins = || curve.bins.iter().zip(&curve.tags).filter(|(b, _)| b.count > 0);
                    let at = |b: &Bin| {
                        let n = b.count as f64;
                        (100.0 * b.confidence / n, 100.0 * b.correct as f64 / n)
                    };
                    chart.draw_series([Trace::new(bins().map(|(b, _)| at(b)).collect(), look.line(LINE))])?;
                    for (bin, tag) in bins() {
                        let (rate, (x, _)) = (Rate::new(bin.correct, bin.count), at(bin));
                        let ends = vec![(x, 100.0 * rate.low), (x, 100.0 * rate.high)];
                        chart.draw_series([Trace::new(ends, solid(look.colour, HAIRLINE))])?;
                        chart.draw_series([Marker {
                            at: at(bin),
                            look,
                            radius: 0.9,
                            filled: true,
                            tag: tag.clone(),
                        }])?;
                    }
                }
                Ok(())
            })
        }
    };
    Ok(Some(Figure { stem: STEM.into(), title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}

/// The bins of a row over all datasets and seeds, and the cells that are in them.
fn bins<'a>(view: &View<'a>, row: usize) -> ([Bin; BINS], Vec<&'a Cell>) {
    let mut bins = [Bin::default(); BINS];
    let mut cells = Vec::new();
    for cell in (0..view.datasets.len()).flat_map(|dataset| view.cells(row, dataset)) {
        let Some(found) = cell.scores.as_ref().and_then(|s| s.errors.calibration.as_ref()) else { continue };
        cells.push(*cell);
        for (bin, own) in bins.iter_mut().zip(&found.bins) {
            let n = own.n as f64;
            bin.confidence += own.confidence * n;
            bin.correct += (own.accuracy * n).round() as u64;
            bin.count += own.n;
        }
    }
    (bins, cells)
}
