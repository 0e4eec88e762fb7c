//! Every arm against the baseline, with interval and p-values.

use polars::prelude::Column;

use super::{Entry, Heading, Table};
use crate::Error;
use crate::answer::signed;
use crate::contrast::{Contrast, Test, method};
use crate::frame::frame;
use crate::view::View;

pub(super) fn table(view: &View<'_>, contrasts: &[Contrast]) -> Result<Option<Table>, Error> {
    if contrasts.is_empty() {
        return Ok(None);
    }
    let rows = (contrasts.iter())
        .map(|c| {
            let test = |text: fn(&Test) -> Entry| c.test.as_ref().map_or_else(Entry::empty, text);
            vec![
                Entry::words(&view.rows[c.row].name),
                Entry::words(&view.rows[c.baseline].name),
                Entry::words(&view.datasets[c.dataset]),
                Entry {
                    mark: c.test.as_ref().map_or("", Test::mark).into(),
                    ..Entry::number(c.difference, signed(c.difference))
                },
                test(|t| Entry::words(format!("[{}, {}]", signed(t.low), signed(t.high)))),
                test(|t| Entry::number(t.p, p_value(t.p))),
                test(|t| Entry::number(t.adjusted, p_value(t.adjusted))),
                c.effect_size.map_or_else(Entry::empty, |g| Entry::number(g, format!("{g:.2}").replace('-', "−"))),
                Entry::number(c.seeds as f64, c.seeds.to_string()),
            ]
        })
        .collect();
    let columns = vec![
        Heading::words("Arm"),
        Heading::words("Baseline"),
        Heading::words("Dataset"),
        Heading::numbers("Difference"),
        Heading::words("95 % interval"),
        Heading::numbers("p"),
        Heading::numbers("p (Holm)"),
        Heading::numbers("Hedges' g"),
        Heading::numbers("n"),
    ];
    let of = |f: fn(&Test) -> f64| contrasts.iter().map(|c| c.test.as_ref().map(f)).collect::<Vec<_>>();
    let data = frame(
        "contrasts",
        vec![
            Column::new("arm".into(), contrasts.iter().map(|c| view.rows[c.row].name.as_str()).collect::<Vec<_>>()),
            Column::new(
                "baseline".into(),
                contrasts.iter().map(|c| view.rows[c.baseline].name.as_str()).collect::<Vec<_>>(),
            ),
            Column::new(
                "dataset".into(),
                contrasts.iter().map(|c| view.datasets[c.dataset].as_str()).collect::<Vec<_>>(),
            ),
            Column::new("difference".into(), contrasts.iter().map(|c| c.difference).collect::<Vec<_>>()),
            Column::new("low".into(), of(|t| t.low)),
            Column::new("high".into(), of(|t| t.high)),
            Column::new("p".into(), of(|t| t.p)),
            Column::new("p_holm".into(), of(|t| t.adjusted)),
            Column::new("hedges_g".into(), contrasts.iter().map(|c| c.effect_size).collect::<Vec<_>>()),
            Column::new("n".into(), contrasts.iter().map(|c| c.seeds as u32).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![
        format!("Differences in {} in points. {}", view.metric.kind.name(), method(contrasts)),
        format!("Signature: {}.", view.signature()),
    ];
    Ok(Some(Table { stem: "contrasts", title: "Differences to the baseline".into(), columns, rows, notes, data }))
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}
