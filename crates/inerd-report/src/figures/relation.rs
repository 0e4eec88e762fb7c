//! A score against a number that arms differ in: coarse-tuning size, number of types.

use std::collections::BTreeMap;

use polars::prelude::Column as Series;

use super::chart::{Axis, Chart, Column, Key, Outcome, Plot};
use super::fit::{PowerLaw, fit};
use super::{Figure, Points};
use crate::Error;
use crate::draw::scene::Paint;
use crate::draw::style::{HAIRLINE, LINE, Look, Marker, Tag, Trace, solid};
use crate::frame::frame;
use crate::input::Cell;
use crate::view::View;

/// What is drawn against what.
struct Relation {
    stem: &'static str,
    title: String,
    x_label: &'static str,
    y_label: String,
    x: fn(&Cell) -> Option<f64>,
    /// In points or percent.
    y: fn(&View<'_>, &Cell) -> Option<f64>,
    log: bool,
    /// Fit a power law to 100 − y.
    fit: bool,
}

pub(super) fn figures<'a>(view: &'a View<'a>) -> Result<Vec<Figure<'a>>, Error> {
    let metric = view.metric.kind.name();
    let relations = [
        Relation {
            stem: "scaling",
            title: format!("{metric} against coarse-tuning size"),
            x_label: "Coarse-tuning sentences",
            y_label: format!("{metric} (points)"),
            x: |cell| cell.facts.coarse_sentences.map(|n| n as f64),
            y: |view, cell| view.value(cell),
            log: true,
            fit: true,
        },
        Relation {
            stem: "scaling-hallucination",
            title: "Hallucination against coarse-tuning size".into(),
            x_label: "Coarse-tuning sentences",
            y_label: "Hallucinated entities (%)".into(),
            x: |cell| cell.facts.coarse_sentences.map(|n| n as f64),
            y: |_, cell| cell.scores.as_ref().map(|s| 100.0 * s.hallucinations.any.rate),
            log: true,
            fit: false,
        },
        Relation {
            stem: "types",
            title: format!("{metric} against number of types"),
            x_label: "Entity types",
            y_label: format!("{metric} (points)"),
            x: |cell| cell.facts.types.map(|n| n as f64),
            y: |view, cell| view.value(cell),
            log: true,
            fit: false,
        },
    ];
    let mut figures = Vec::new();
    for relation in relations {
        figures.extend(figure(view, relation)?);
    }
    Ok(figures)
}

struct Line {
    name: String,
    /// In the order of x.
    places: Vec<Place>,
    law: Option<PowerLaw>,
}

/// All values at one x.
struct Place {
    x: f64,
    mean: f64,
    deviation: Option<f64>,
    tag: Tag,
    seeds: Vec<(f64, Tag)>,
}

fn figure<'a>(view: &'a View<'a>, relation: Relation) -> Result<Option<Figure<'a>>, Error> {
    let mut grouped: BTreeMap<(usize, usize), BTreeMap<u64, Vec<&'a Cell>>> = BTreeMap::new();
    let arms: Vec<&str> = view.rows.iter().map(|r| r.arm.as_str()).fold(Vec::new(), |mut arms, arm| {
        if !arms.contains(&arm) {
            arms.push(arm);
        }
        arms
    });
    for (row, dataset, cells) in view.groups() {
        let Some(arm) = arms.iter().position(|a| *a == view.rows[row].arm) else { continue };
        for cell in cells {
            // A logarithmic axis has no place for zero.
            let x = (relation.x)(cell).filter(|x| !relation.log || *x > 0.0);
            if let (Some(x), Some(_)) = (x, (relation.y)(view, cell)) {
                grouped.entry((arm, dataset)).or_default().entry(x.to_bits()).or_default().push(cell);
            }
        }
    }
    let distinct: std::collections::BTreeSet<u64> =
        grouped.values().flat_map(|places| places.keys().copied()).collect();
    if distinct.len() < 2 {
        return Ok(None);
    }

    let position = |x: f64| if relation.log { x.log10() } else { x };
    let mut points = Points::new(relation.stem);
    let mut tidy: Vec<(String, String, u64, f64, f64)> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    let mut laws: Vec<String> = Vec::new();
    for ((arm, dataset), places) in grouped {
        let (arm, data) = (arms[arm], view.datasets[dataset].as_str());
        let name = if view.datasets.len() == 1 { arm.to_owned() } else { format!("{arm}, {data}") };
        let mut line = Line { name: name.clone(), places: Vec::new(), law: None };
        let mut singles: Vec<(f64, f64)> = Vec::new();
        // The bits of positive floats are in the floats' order.
        for (bits, cells) in places {
            let x = f64::from_bits(bits);
            let summary = view.summarise(&cells, |cell| (relation.y)(view, cell));
            let Some(mean) = summary.mean else { continue };
            let at = format!("{x}");
            let label = format!("{name}, {} {at}: {mean:.2} (n = {})", relation.x_label.to_lowercase(), summary.n());
            let tag = points.name(&[arm, data, &at], label, cells.clone());
            let mut seeds = Vec::new();
            for cell in cells {
                let Some(value) = (relation.y)(view, cell) else { continue };
                let seed = cell.seed;
                let label = format!("{name}, {} {at}, seed {seed}: {value:.2}", relation.x_label.to_lowercase());
                seeds.push((value, points.name(&[arm, data, &at, &format!("s{seed}")], label, vec![cell])));
                tidy.push((arm.to_owned(), data.to_owned(), seed, x, value));
                singles.push((x, value));
            }
            line.places.push(Place { x: position(x), mean, deviation: summary.deviation, tag, seeds });
        }
        if relation.fit {
            line.law = fit(&singles);
            laws.extend(line.law.as_ref().map(|law| format!("{name}: {law}")));
        }
        lines.push(line);
    }
    let data = frame(
        relation.stem,
        vec![
            Series::new("arm".into(), tidy.iter().map(|t| t.0.as_str()).collect::<Vec<_>>()),
            Series::new("dataset".into(), tidy.iter().map(|t| t.1.as_str()).collect::<Vec<_>>()),
            Series::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Series::new("x".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
            Series::new("y".into(), tidy.iter().map(|t| t.4).collect::<Vec<_>>()),
        ],
    )?;
    let mut caption = "Filled markers are means over seeds, whiskers one sample deviation (from three seeds on), open \
                       markers single seeds."
        .to_owned();
    if !laws.is_empty() {
        caption += &format!(
            " Curves are power laws of the error fitted to the single seeds by least squares on logarithms, bands their \
             95 % intervals: {}.",
            laws.join("; ")
        );
    }
    caption += &format!(" Signature: {}.", view.signature());
    let (stem, title) = (relation.stem, relation.title.clone());
    let draw = {
        let caption = caption.clone();
        move |column: Column| draw(&relation, &lines, &caption, column)
    };
    Ok(Some(Figure { stem: stem.into(), title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}

fn draw(
    relation: &Relation,
    lines: &[Line],
    caption: &str,
    column: Column,
) -> Result<crate::draw::scene::Scene, Error> {
    let places = || lines.iter().flat_map(|l| &l.places);
    let values = places().flat_map(|p| {
        let d = p.deviation.unwrap_or(0.0);
        p.seeds.iter().map(|(v, _)| *v).chain([p.mean - d, p.mean + d])
    });
    let xs = places().map(|p| if relation.log { 10f64.powf(p.x) } else { p.x });
    let key = |(i, line): (usize, &Line)| Key { name: line.name.clone(), look: Look::of(i), line: true, marker: true };
    let plot = Plot {
        title: relation.title.clone(),
        description: caption.to_owned(),
        width: column.width(),
        height: 56.0,
        x: if relation.log { Axis::log10(relation.x_label, xs) } else { Axis::tight(relation.x_label, xs) },
        y: Axis::linear(&relation.y_label, values, true),
        legend: lines.iter().enumerate().map(key).collect(),
    };
    plot.draw(|chart| {
        for (index, line) in lines.iter().enumerate() {
            draw_line(chart, line, Look::of(index))?;
        }
        Ok(())
    })
}

fn draw_line(chart: &mut Chart<'_, '_>, line: &Line, look: Look) -> Outcome {
    let (first, last) = (line.places.first().map_or(0.0, |p| p.x), line.places.last().map_or(0.0, |p| p.x));
    if let Some(law) = &line.law {
        const STEPS: u32 = 60;
        let curve: Vec<(f64, [f64; 3])> = (0..=STEPS)
            .map(|i| first + (last - first) * f64::from(i) / f64::from(STEPS))
            .map(|x| (x, law.at(10f64.powf(x)).map(|error| 100.0 - error)))
            .collect();
        let upper = curve.iter().map(|(x, y)| (*x, y[1]));
        let lower = curve.iter().rev().map(|(x, y)| (*x, y[2]));
        chart.draw_series([Trace::new(upper.chain(lower).collect(), Paint::Fill(look.faint(0.15)))])?;
        chart.draw_series([Trace::new(curve.iter().map(|(x, y)| (*x, y[0])).collect(), look.line(LINE))])?;
    } else {
        chart.draw_series([Trace::new(line.places.iter().map(|p| (p.x, p.mean)).collect(), look.line(LINE))])?;
    }
    for place in &line.places {
        let range = chart.x_range();
        // Single seeds stand a little to the right of their mean, where they can be seen.
        let beside = place.x + 0.018 * (range.end - range.start);
        let seed = |(value, tag): &(f64, Tag)| Marker {
            at: (beside, *value),
            look,
            radius: 0.5,
            filled: false,
            tag: Some(tag.clone()),
        };
        if let Some(d) = place.deviation {
            let ends = vec![(place.x, place.mean - d), (place.x, place.mean + d)];
            chart.draw_series([Trace::new(ends, solid(look.colour, HAIRLINE))])?;
        }
        chart.draw_series(place.seeds.iter().map(seed))?;
        let (at, tag) = ((place.x, place.mean), Some(place.tag.clone()));
        chart.draw_series([Marker { at, look, radius: 0.9, filled: true, tag }])?;
    }
    Ok(())
}
