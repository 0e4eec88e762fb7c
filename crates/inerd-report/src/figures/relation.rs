//! A score against a number that arms differ in: coarse-tuning size, number of types.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::Column as Series;

use super::chart::{Axis, Chart, Column, Key, Outcome, Plot};
use super::fit::{PowerLaw, fit};
use super::{Figure, Points};
use crate::Error;
use crate::draw::scene::{Paint, Scene};
use crate::draw::style::{HAIRLINE, LINE, Look, Marker, Tag, Trace, solid};
use crate::frame::frame;
use crate::input::Cell;
use crate::view::{Line, View};

/// What is drawn against what.
struct Relation {
    stem: &'static str,
    title: String,
    x_label: &'static str,
    y_label: String,
    x: fn(&Cell) -> Option<u64>,
    /// In points or percent.
    y: fn(&View<'_>, &Cell) -> Option<f64>,
    law: Option<Law>,
    /// A dataset has one number of types: lines run across datasets unless an axis says otherwise.
    across: bool,
}

/// What a power law is fitted to.
#[derive(Clone, Copy)]
enum Law {
    /// 100 − y: what is missing to a perfect score.
    Missing,
    /// y, which is an error rate itself.
    Rate,
}

impl Law {
    /// From y to the error, and back.
    fn turn(self, y: f64) -> f64 {
        match self {
            Self::Missing => 100.0 - y,
            Self::Rate => y,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Missing => "error",
            Self::Rate => "rate",
        }
    }
}

pub(super) fn figures<'a>(view: &'a View<'a>) -> Result<Vec<Figure<'a>>, Error> {
    let metric = view.metric.kind.name();
    let relations = [
        Relation {
            stem: "scaling",
            title: format!("{metric} against coarse-tuning size"),
            x_label: "Coarse-tuning sentences",
            y_label: format!("{metric} (points)"),
            x: |cell| cell.facts.coarse_sentences,
            y: |view, cell| view.value(cell),
            law: Some(Law::Missing),
            across: false,
        },
        Relation {
            stem: "scaling-hallucination",
            title: "Hallucination against coarse-tuning size".into(),
            x_label: "Coarse-tuning sentences",
            y_label: "Hallucinated entities (%)".into(),
            x: |cell| cell.facts.coarse_sentences,
            y: |_, cell| cell.scores.as_ref().map(|s| 100.0 * s.hallucinations.any.rate),
            law: Some(Law::Rate),
            across: false,
        },
        Relation {
            stem: "types",
            title: format!("{metric} against number of types"),
            x_label: "Entity types",
            y_label: format!("{metric} (points)"),
            x: |cell| cell.facts.types,
            y: |view, cell| view.value(cell),
            law: None,
            across: true,
        },
    ];
    let mut figures = Vec::new();
    for relation in relations {
        figures.extend(figure(view, relation)?);
    }
    Ok(figures)
}

/// One line of the figure.
struct Curve {
    name: String,
    /// In the order of x.
    places: Vec<Place>,
    law: Option<PowerLaw>,
}

/// All values at one x.
struct Place {
    /// log₁₀ of the size.
    x: f64,
    mean: f64,
    deviation: Option<f64>,
    tag: Tag,
    seeds: Vec<(f64, Tag)>,
}

/// The lines with more than one place: a single point is no relation.
fn lines<'a>(view: &View<'a>, relation: &Relation) -> Vec<Line<'a>> {
    // A logarithmic axis has no place for zero.
    let place = |cell: &Cell| (relation.x)(cell).filter(|x| *x > 0 && (relation.y)(view, cell).is_some());
    let several = |line: &Line<'_>| line.cells.iter().filter_map(|c| place(c)).collect::<BTreeSet<u64>>().len() > 1;
    let own: Vec<Line<'a>> = view.lines(place, false).into_iter().filter(several).collect();
    if own.is_empty() && relation.across { view.lines(place, true).into_iter().filter(several).collect() } else { own }
}

fn figure<'a>(view: &'a View<'a>, relation: Relation) -> Result<Option<Figure<'a>>, Error> {
    let mut points = Points::new(relation.stem);
    let mut tidy: Vec<(String, String, u64, u64, f64)> = Vec::new();
    let mut curves: Vec<Curve> = Vec::new();
    let mut laws: Vec<String> = Vec::new();
    for line in lines(view, &relation) {
        let name = line.name;
        let mut places: BTreeMap<u64, Vec<&'a Cell>> = BTreeMap::new();
        for cell in line.cells {
            let Some(x) = (relation.x)(cell) else { continue };
            let place = places.entry(x).or_default();
            // Two settings can come to the same run, such as fractions of a small set: it counts once.
            let run = |c: &Cell| c.stages.last().map(|s| s.fingerprint.clone());
            if run(cell).is_none() || place.iter().all(|c| run(c) != run(cell)) {
                place.push(cell);
            }
        }
        let mut curve = Curve { name: name.clone(), places: Vec::new(), law: None };
        let mut singles: Vec<(f64, f64)> = Vec::new();
        for (x, cells) in places {
            let summary = view.summarise(&cells, |cell| (relation.y)(view, cell));
            let Some(mean) = summary.mean else { continue };
            let at = x.to_string();
            let place = format!("{name}, {} {at}", relation.x_label.to_lowercase());
            let tag = points.name(&[&name, &at], format!("{place}: {mean:.2} (n = {})", summary.n()), cells.clone());
            let mut seeds = Vec::new();
            for cell in cells {
                let Some(value) = (relation.y)(view, cell) else { continue };
                let seed = cell.seed;
                let label = format!("{place}, {}, seed {seed}: {value:.2}", cell.dataset);
                seeds.push((value, points.name(&[&name, &at, &cell.dataset, &format!("s{seed}")], label, vec![cell])));
                tidy.push((name.clone(), cell.dataset.clone(), seed, x, value));
                singles.push((x as f64, value));
            }
            curve.places.push(Place { x: (x as f64).log10(), mean, deviation: summary.deviation, tag, seeds });
        }
        if let Some(law) = relation.law {
            let errors: Vec<(f64, f64)> = singles.iter().map(|(x, y)| (*x, law.turn(*y))).collect();
            curve.law = fit(&errors);
            laws.extend(curve.law.as_ref().map(|found| format!("{name}: {} {found}", law.name())));
        }
        curves.push(curve);
    }
    if curves.is_empty() {
        return Ok(None);
    }
    let data = frame(
        relation.stem,
        vec![
            Series::new("line".into(), tidy.iter().map(|t| t.0.as_str()).collect::<Vec<_>>()),
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
            " Curves with a band are power laws fitted to the single seeds by least squares on logarithms, the bands \
             their 95 % intervals: {}.",
            laws.join("; ")
        );
    }
    if curves.iter().any(|c| c.law.is_none()) {
        caption += " Other lines join the means, within a band of one sample deviation each way.";
    }
    caption += &format!(" Signature: {}.", view.signature());
    let (stem, title) = (relation.stem, relation.title.clone());
    let draw = {
        let caption = caption.clone();
        move |column: Column| draw(&relation, &curves, &caption, column)
    };
    Ok(Some(Figure { stem: stem.into(), title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}

impl Curve {
    /// (x, [middle, one end, other end]) of the line and its band.
    fn band(&self, law: Option<Law>) -> Vec<(f64, [f64; 3])> {
        const STEPS: u32 = 60;
        let (Some(first), Some(last)) = (self.places.first(), self.places.last()) else { return Vec::new() };
        match (&self.law, law) {
            (Some(found), Some(law)) => (0..=STEPS)
                .map(|i| first.x + (last.x - first.x) * f64::from(i) / f64::from(STEPS))
                .map(|x| (x, found.at(10f64.powf(x)).map(|error| law.turn(error).clamp(0.0, 100.0))))
                .collect(),
            _ => {
                let ends =
                    |p: &Place| [p.mean, p.mean - p.deviation.unwrap_or(0.0), p.mean + p.deviation.unwrap_or(0.0)];
                self.places.iter().map(|p| (p.x, ends(p).map(|y| y.clamp(0.0, 100.0)))).collect()
            }
        }
    }
}

fn draw(relation: &Relation, curves: &[Curve], caption: &str, column: Column) -> Result<Scene, Error> {
    let places = || curves.iter().flat_map(|c| &c.places);
    let values = places().flat_map(|p| {
        let d = p.deviation.unwrap_or(0.0);
        p.seeds.iter().map(|(v, _)| *v).chain([p.mean - d, p.mean + d])
    });
    let bands = curves.iter().flat_map(|c| c.band(relation.law)).flat_map(|(_, y)| y);
    let key =
        |(i, curve): (usize, &Curve)| Key { name: curve.name.clone(), look: Look::of(i), line: true, marker: true };
    let plot = Plot {
        title: relation.title.clone(),
        description: caption.to_owned(),
        width: column.width(),
        height: 56.0,
        x: Axis::log10(relation.x_label, places().map(|p| 10f64.powf(p.x))),
        y: Axis::linear(&relation.y_label, values.chain(bands), true).within(0.0, 100.0),
        legend: curves.iter().enumerate().map(key).collect(),
    };
    plot.draw(|chart| {
        for (index, curve) in curves.iter().enumerate() {
            draw_curve(chart, curve, relation.law, Look::of(index), column)?;
        }
        Ok(())
    })
}

fn draw_curve(chart: &mut Chart<'_, '_>, curve: &Curve, law: Option<Law>, look: Look, column: Column) -> Outcome {
    let band = curve.band(law);
    let (one, other) = (band.iter().map(|(x, y)| (*x, y[1])), band.iter().rev().map(|(x, y)| (*x, y[2])));
    chart.draw_series([Trace::new(one.chain(other).collect(), Paint::Fill(look.faint(0.15)))])?;
    chart.draw_series([Trace::new(band.iter().map(|(x, y)| (*x, y[0])).collect(), look.line(LINE))])?;
    let range = chart.x_range();
    // Single seeds stand a little to the right of their mean, where they can be seen.
    let beside = 1.7 / (column.width() - 14.0) * (range.end - range.start);
    for place in &curve.places {
        let seed = |(value, tag): &(f64, Tag)| Marker {
            at: (place.x + beside, *value),
            look,
            radius: 0.5,
            filled: false,
            tag: Some(tag.clone()),
        };
        if let Some(d) = place.deviation {
            let ends = vec![(place.x, (place.mean - d).max(0.0)), (place.x, (place.mean + d).min(100.0))];
            chart.draw_series([Trace::new(ends, solid(look.colour, HAIRLINE))])?;
        }
        chart.draw_series(place.seeds.iter().map(seed))?;
        let (at, tag) = ((place.x, place.mean), Some(place.tag.clone()));
        chart.draw_series([Marker { at, look, radius: 0.9, filled: true, tag }])?;
    }
    Ok(())
}
