//! Forest plot: every arm's difference to the baseline with its interval.

use polars::prelude::Column as Series;

use super::chart::{Axis, Column, LABEL, Plot, TICK, wrap};
use super::{Figure, Points};
use crate::Error;
use crate::answer::signed;
use crate::contrast::{Contrast, pairs};
use crate::draw::scene::Paint;
use crate::draw::style::{HAIRLINE, INK, LINE, Look, Marker, Trace, solid};
use crate::escape::slug;
use crate::frame::frame;
use crate::view::View;

const STEM: &str = "forest";

/// More contrasts than this are higher than a page and split into several figures.
const MOST: usize = 24;

pub(super) fn figures<'a>(view: &'a View<'a>, contrasts: &'a [Contrast]) -> Result<Vec<Figure<'a>>, Error> {
    let groups = view.row_groups(if contrasts.len() <= MOST { usize::MAX } else { 1 });
    let mut figures = Vec::new();
    for (group, rows) in groups {
        let own: Vec<&Contrast> = contrasts.iter().filter(|c| rows.contains(&c.row)).collect();
        // A group may still be too high: pages of equal length.
        let pages = own.len().div_ceil(MOST);
        for (number, page) in own.chunks(own.len().div_ceil(pages.max(1)).max(1)).enumerate() {
            let part = if pages > 1 { format!("part {}", number + 1) } else { String::new() };
            let name = [group.as_str(), &part].into_iter().filter(|n| !n.is_empty()).collect::<Vec<_>>().join(", ");
            figures.push(figure(view, &name, page.to_vec())?);
        }
    }
    Ok(figures)
}

fn figure<'a>(view: &'a View<'a>, group: &str, contrasts: Vec<&'a Contrast>) -> Result<Figure<'a>, Error> {
    let (stem, of_group) = if group.is_empty() {
        (STEM.to_owned(), String::new())
    } else {
        (format!("{STEM}-{}", slug(group)), format!(" ({group})"))
    };
    let mut points = Points::new(&stem);
    let name = |c: &Contrast| format!("{} on {}", view.rows[c.row].name, view.datasets[c.dataset]);
    let tags: Vec<_> = (contrasts.iter())
        .map(|c| {
            let (arm, baseline) = (view.rows[c.row].name.as_str(), view.rows[c.baseline].name.as_str());
            let data = view.datasets[c.dataset].as_str();
            let interval =
                c.test.as_ref().map(|t| format!(" [{}, {}]", signed(t.low), signed(t.high))).unwrap_or_default();
            let label =
                format!("{arm} − {baseline} on {data}: {}{interval} points (n = {})", signed(c.difference), c.seeds);
            let cells = pairs(view, c.row, c.baseline, c.dataset).into_iter().flat_map(|(a, b)| [a, b]).collect();
            points.name(&[arm, baseline, data], label, cells)
        })
        .collect();
    let test =
        |f: fn(&crate::contrast::Test) -> f64| contrasts.iter().map(|c| c.test.as_ref().map(f)).collect::<Vec<_>>();
    let data = frame(
        &stem,
        vec![
            Series::new("arm".into(), contrasts.iter().map(|c| view.rows[c.row].name.as_str()).collect::<Vec<_>>()),
            Series::new(
                "baseline".into(),
                contrasts.iter().map(|c| view.rows[c.baseline].name.as_str()).collect::<Vec<_>>(),
            ),
            Series::new(
                "dataset".into(),
                contrasts.iter().map(|c| view.datasets[c.dataset].as_str()).collect::<Vec<_>>(),
            ),
            Series::new("difference".into(), contrasts.iter().map(|c| c.difference).collect::<Vec<_>>()),
            Series::new("low".into(), test(|t| t.low)),
            Series::new("high".into(), test(|t| t.high)),
            Series::new("p".into(), test(|t| t.p)),
            Series::new("p_holm".into(), test(|t| t.adjusted)),
            Series::new("n".into(), contrasts.iter().map(|c| c.seeds as u32).collect::<Vec<_>>()),
        ],
    )?;
    let baseline = view.input.experiment.baseline.clone().unwrap_or_default();
    let title = format!("Differences to {baseline}{of_group}");
    let mut caption = format!(
        "Differences in {} to the baseline {baseline}, in points; to the right of zero the arm is better. Bars are 95 % \
         intervals (bootstrap over seeds and sentences).",
        view.metric.kind.name()
    );
    if let Some(effect) = view.input.experiment.min_effect {
        caption += &format!(" Dashed: the smallest effect worth claiming, {effect} points.");
    }
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let names: Vec<String> = contrasts.iter().map(|c| wrap(&name(c), 0.38 * column.width(), TICK)).collect();
            let effect = view.input.experiment.min_effect.unwrap_or(0.0).abs();
            let values = (contrasts.iter())
                .flat_map(|c| [Some(c.difference), c.test.as_ref().map(|t| t.low), c.test.as_ref().map(|t| t.high)])
                .flatten()
                .chain([0.0, effect]);
            let lines: usize = names.iter().map(|n| n.split('\n').count()).sum();
            let plot = Plot {
                title: title.clone(),
                description: caption.clone(),
                width: column.width(),
                height: 3.2 * LABEL + (lines as f64 * 1.25 + contrasts.len() as f64) * TICK + 4.0,
                x: Axis::linear("Difference (points)", values, false),
                y: Axis::categories("", &names).reversed(),
                legend: Vec::new(),
            };
            plot.draw(|chart| {
                let top = contrasts.len() as f64;
                chart.draw_series([Trace::new(vec![(0.0, 0.0), (0.0, top)], solid(INK, HAIRLINE))])?;
                if effect > 0.0 {
                    let dashed = Paint::Stroke { colour: INK, width: HAIRLINE, dash: vec![1.0, 0.8] };
                    chart.draw_series([Trace::new(vec![(effect, 0.0), (effect, top)], dashed)])?;
                }
                for (index, (contrast, tag)) in contrasts.iter().zip(&tags).enumerate() {
                    let y = top - index as f64 - 0.5;
                    let look = Look::of(contrast.row);
                    if let Some(test) = &contrast.test {
                        chart
                            .draw_series([Trace::new(vec![(test.low, y), (test.high, y)], solid(look.colour, LINE))])?;
                    }
                    let at = (contrast.difference, y);
                    chart.draw_series([Marker { at, look, radius: 1.0, filled: true, tag: Some(tag.clone()) }])?;
                }
                Ok(())
            })
        }
    };
    Ok(Figure { stem, title, caption, data, points: points.into_origins(), draw: Box::new(draw) })
}
