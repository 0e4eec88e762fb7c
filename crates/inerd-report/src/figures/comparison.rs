//! Arms side by side on every dataset: mean, deviation, and every seed.

use polars::prelude::Column as Series;

use super::chart::{Axis, Chart, Column, Key, Outcome, Plot, TICK, wrap};
use super::{Figure, Points};
use crate::Error;
use crate::contrast::interval;
use crate::draw::scene::Colour;
use crate::draw::style::{GRID, HAIRLINE, LINE, Look, Marker, Tag, Trace, solid};
use crate::frame::frame;
use crate::view::View;

const STEM: &str = "comparison";

/// One arm on one dataset.
struct Slot {
    row: usize,
    /// Data coordinate: datasets are one unit wide.
    x: f64,
    mean: f64,
    /// 95 % interval.
    interval: Option<(f64, f64)>,
    tag: Tag,
    seeds: Vec<(f64, Tag)>,
}

pub(super) fn figure<'a>(view: &'a View<'a>) -> Result<Option<Figure<'a>>, Error> {
    let name = view.metric.kind.name();
    let mut points = Points::new(STEM);
    let mut slots: Vec<Slot> = Vec::new();
    let mut tidy: Vec<(&str, &str, u64, f64)> = Vec::new();
    for (row, dataset, cells) in view.groups() {
        let (arm, data) = (view.rows[row].name.as_str(), view.datasets[dataset].as_str());
        let summary = view.summary(row, dataset);
        let Some(mean) = summary.mean else { continue };
        let scored: Vec<_> = cells.iter().copied().filter(|c| view.value(c).is_some()).collect();
        let spread = summary.deviation.map(|d| format!(" ± {d:.2}")).unwrap_or_default();
        let interval = interval(view, &scored);
        let label = format!("{arm} on {data}: {name} {mean:.2}{spread} (n = {}/{})", summary.n(), summary.expected);
        let tag = points.name(&[arm, data], label, scored.clone());
        let mut seeds = Vec::new();
        for cell in scored {
            let Some(value) = view.value(cell) else { continue };
            let seed = cell.seed.to_string();
            let label = format!("{arm} on {data}, seed {seed}: {name} {value:.2}");
            seeds.push((value, points.name(&[arm, data, &format!("s{seed}")], label, vec![cell])));
            tidy.push((arm, data, cell.seed, value));
        }
        let x = dataset as f64 + (row as f64 + 1.0) / (view.rows.len() as f64 + 1.0);
        slots.push(Slot { row, x, mean, interval, tag, seeds });
    }
    if slots.is_empty() {
        return Ok(None);
    }
    let data = frame(
        STEM,
        vec![
            Series::new("arm".into(), tidy.iter().map(|t| t.0).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Series::new("value".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
        ],
    )?;
    let caption = format!(
        "{name} of every arm on every dataset. Filled markers are means over seeds, whiskers 95 % intervals \
         (hierarchical bootstrap over seeds and sentences), open markers single seeds. Signature: {}.",
        view.signature()
    );
    let title = format!("{name} by arm and dataset");
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let values = slots.iter().flat_map(|s| {
                let (low, high) = s.interval.unwrap_or((s.mean, s.mean));
                s.seeds.iter().map(|(v, _)| *v).chain([low, high])
            });
            let room = (column.width() - 14.0) / view.datasets.len() as f64;
            let names: Vec<String> = view.datasets.iter().map(|d| wrap(d, room - 1.0, TICK)).collect();
            let legend = view.rows.iter().enumerate();
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 56.0,
                x: Axis::categories("", &names),
                y: Axis::linear(&format!("{name} (points)"), values, true),
                legend: legend
                    .map(|(i, r)| Key { name: r.name.clone(), look: Look::of(i), line: false, marker: true })
                    .collect(),
            };
            plot.draw(|chart| draw_slots(chart, &slots, view.datasets.len()))
        }
    };
    Ok(Some(Figure { stem: STEM.into(), title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}

fn draw_slots(chart: &mut Chart<'_, '_>, slots: &[Slot], datasets: usize) -> Outcome {
    let (low, high) = (chart.y_range().start, chart.y_range().end);
    let between = (1..datasets).map(|i| vec![(i as f64, low), (i as f64, high)]);
    chart.draw_series(between.map(|ends| Trace::new(ends, solid(Colour { rgb: GRID, alpha: 1.0 }, HAIRLINE))))?;
    for slot in slots {
        let look = Look::of(slot.row);
        let beside = slot.x + 0.025;
        chart.draw_series(slot.seeds.iter().map(|(value, tag)| Marker {
            at: (beside, *value),
            look,
            radius: 0.55,
            filled: false,
            tag: Some(tag.clone()),
        }))?;
        if let Some((low, high)) = slot.interval {
            let ends = vec![(slot.x, low), (slot.x, high)];
            chart.draw_series([Trace::new(ends, solid(look.colour, LINE))])?;
        }
        let tag = Some(slot.tag.clone());
        chart.draw_series([Marker { at: (slot.x, slot.mean), look, radius: 1.0, filled: true, tag }])?;
    }
    Ok(())
}
