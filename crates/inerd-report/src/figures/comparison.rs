//! Arms side by side on every dataset: mean, deviation, and every seed.

use polars::prelude::Column as Series;

use super::chart::{Axis, Chart, Column, Key, Outcome, Plot, TICK, wrap};
use super::{Figure, Points};
use crate::Error;
use crate::contrast::interval;
use crate::draw::scene::Colour;
use crate::draw::style::{GRID, HAIRLINE, LINE, Look, Marker, Tag, Trace, solid};
use crate::escape::slug;
use crate::frame::frame;
use crate::view::View;

const STEM: &str = "comparison";
/// More rows than colours are split into several figures.
const MOST: usize = 7;

/// One arm on one dataset.
struct Slot {
    /// Among the figure's rows.
    place: usize,
    /// Data coordinate: datasets are one unit wide.
    x: f64,
    mean: f64,
    /// 95 % interval.
    interval: Option<(f64, f64)>,
    tag: Tag,
    seeds: Vec<(f64, Tag)>,
}

pub(super) fn figures<'a>(view: &'a View<'a>) -> Result<Vec<Figure<'a>>, Error> {
    let mut figures = Vec::new();
    for (group, rows) in view.row_groups(MOST) {
        figures.extend(figure(view, &group, &rows)?);
    }
    Ok(figures)
}

fn figure<'a>(view: &'a View<'a>, group: &str, rows: &[usize]) -> Result<Option<Figure<'a>>, Error> {
    let name = view.metric.kind.name();
    let (stem, of_group) = if group.is_empty() {
        (STEM.to_owned(), String::new())
    } else {
        (format!("{STEM}-{}", slug(group)), format!(" ({group})"))
    };
    let mut points = Points::new(&stem);
    let mut slots: Vec<Slot> = Vec::new();
    let mut tidy: Vec<(&str, &str, u64, f64)> = Vec::new();
    for (row, dataset, cells) in view.groups() {
        let Some(place) = rows.iter().position(|r| *r == row) else { continue };
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
        let x = dataset as f64 + (place as f64 + 1.0) / (rows.len() as f64 + 1.0);
        slots.push(Slot { place, x, mean, interval, tag, seeds });
    }
    if slots.is_empty() {
        return Ok(None);
    }
    let data = frame(
        &stem,
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
    let title = format!("{name} by arm and dataset{of_group}");
    let names: Vec<String> = rows.iter().map(|row| view.rows[*row].name.clone()).collect();
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let values = slots.iter().flat_map(|s| {
                let (low, high) = s.interval.unwrap_or((s.mean, s.mean));
                s.seeds.iter().map(|(v, _)| *v).chain([low, high])
            });
            let room = (column.width() - 14.0) / view.datasets.len() as f64;
            let datasets: Vec<String> = view.datasets.iter().map(|d| wrap(d, room - 1.0, TICK)).collect();
            let upright = datasets.iter().any(|d| d.contains('…') || d.split('\n').count() > 3);
            let datasets = if upright { view.datasets.clone() } else { datasets };
            let key =
                |(i, name): (usize, &String)| Key { name: name.clone(), look: Look::of(i), line: false, marker: true };
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 56.0,
                x: Axis { upright, ..Axis::categories("", &datasets) },
                y: Axis::linear(&format!("{name} (points)"), values, true).within(0.0, 100.0),
                legend: names.iter().enumerate().map(key).collect(),
            };
            // Single seeds stand beside their mean, without reaching the next one.
            let beside = (1.7 / room).min(0.5 / (names.len() as f64 + 1.0));
            plot.draw(|chart| draw_slots(chart, &slots, view.datasets.len(), beside))
        }
    };
    Ok(Some(Figure { stem, title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}

fn draw_slots(chart: &mut Chart<'_, '_>, slots: &[Slot], datasets: usize, beside: f64) -> Outcome {
    let (low, high) = (chart.y_range().start, chart.y_range().end);
    let between = (1..datasets).map(|i| vec![(i as f64, low), (i as f64, high)]);
    chart.draw_series(between.map(|ends| Trace::new(ends, solid(Colour { rgb: GRID, alpha: 1.0 }, HAIRLINE))))?;
    for slot in slots {
        let look = Look::of(slot.place);
        chart.draw_series(slot.seeds.iter().map(|(value, tag)| Marker {
            at: (slot.x + beside, *value),
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
