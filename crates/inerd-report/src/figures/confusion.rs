//! Which types are taken for which, with what is missed and what is spurious.

use std::collections::{BTreeMap, BTreeSet};

use inerd_metrics::analysis::Confusion;
use polars::prelude::Column as Series;

use super::heat::{Field, Heat};
use super::{Column, Figure, Points};
use crate::Error;
use crate::escape::slug;
use crate::frame::frame;
use crate::input::Cell;
use crate::view::View;

/// More types than this cannot be read at one column's width; the rarest become "other", as do invented ones.
const SHOWN: usize = 12;
const MISSED: &str = "(missed)";
const SPURIOUS: &str = "(spurious)";
const OTHER: &str = "(other)";

/// One figure for the baseline and one for the best row, over all datasets and seeds; a sweep would fill pages
/// otherwise, and the error table has every row.
pub(super) fn figures<'a>(view: &'a View<'a>) -> Result<Vec<Figure<'a>>, Error> {
    // A row that lacks a dataset is not the best for it.
    let sum = |row: &usize| (0..view.datasets.len()).filter_map(|d| view.summary(*row, d).mean).sum::<f64>();
    let baseline = view.rows.iter().position(|r| Some(&r.arm) == view.input.experiment.baseline.as_ref());
    // The first one of equals.
    let best = (0..view.rows.len()).rev().max_by(|a, b| sum(a).total_cmp(&sum(b)));
    let mut figures = Vec::new();
    for row in baseline.into_iter().chain(best.filter(|b| Some(*b) != baseline)) {
        figures.extend(figure(view, row)?);
    }
    Ok(figures)
}

fn figure<'a>(view: &'a View<'a>, row: usize) -> Result<Option<Figure<'a>>, Error> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut cells: Vec<&Cell> = Vec::new();
    for dataset in 0..view.datasets.len() {
        for cell in view.cells(row, dataset) {
            let Some(scores) = &cell.scores else { continue };
            cells.push(cell);
            count(&scores.errors.confusion, &mut counts);
        }
    }
    if counts.is_empty() {
        return Ok(None);
    }
    let counts = fold_invented(counts, &view.known_types());
    let arm = view.rows[row].name.as_str();
    let stem = format!("confusion-{}", slug(arm));
    let data = frame(
        &stem,
        vec![
            Series::new("gold".into(), counts.keys().map(|k| k.0.as_str()).collect::<Vec<_>>()),
            Series::new("predicted".into(), counts.keys().map(|k| k.1.as_str()).collect::<Vec<_>>()),
            Series::new("count".into(), counts.values().copied().collect::<Vec<_>>()),
        ],
    )?;
    let (rows, columns, matrix) = matrix(&counts);
    let mut points = Points::new(&stem);
    let fields: Vec<Vec<(f64, u64, crate::draw::style::Tag)>> = (rows.iter().zip(&matrix))
        .map(|(gold, line)| {
            let sum = line.iter().sum::<u64>().max(1) as f64;
            (columns.iter().zip(line))
                .map(|(predicted, &n)| {
                    let label = format!("{arm}: gold {gold}, predicted {predicted}: {n}");
                    (n as f64 / sum, n, points.name(&[gold, predicted], label, cells.clone()))
                })
                .collect()
        })
        .collect();
    let title = format!("Type confusion of {arm}");
    let caption =
        "Rows are gold types, columns predicted types, over all datasets and seeds; an entity counts as the type \
                   that was predicted where it lies or overlaps it. Shades are shares of the row."
            .to_owned();
    let draw = {
        let (title, caption) = (title.clone(), caption.clone());
        move |column: Column| {
            let field = |(shade, n, tag): &(f64, u64, crate::draw::style::Tag)| {
                (*n > 0).then(|| Field { shade: *shade, text: n.to_string(), tag: Some(tag.clone()) })
            };
            let heat = Heat {
                title: &title,
                caption: &caption,
                rows: &rows,
                columns: &columns,
                row_label: "Gold",
                column_label: "Predicted",
                fields: fields.iter().map(|line| line.iter().map(field).collect()).collect(),
            };
            heat.draw(column)
        }
    };
    Ok(Some(Figure { stem, title, caption, data, points: points.into_origins(), draw: Box::new(draw) }))
}

fn count(confusion: &Confusion, counts: &mut BTreeMap<(String, String), u64>) {
    let mut add =
        |gold: &str, predicted: &str, n: u64| *counts.entry((gold.into(), predicted.into())).or_default() += n;
    for (gold, row) in &confusion.pairs {
        for (predicted, n) in row {
            add(gold, predicted, *n);
        }
    }
    for (gold, n) in &confusion.missed {
        add(gold, MISSED, *n);
    }
    for (predicted, n) in &confusion.spurious {
        add(SPURIOUS, predicted, *n);
    }
}

/// Invented types become "other": without a mask models write any number of them.
fn fold_invented(counts: BTreeMap<(String, String), u64>, types: &BTreeSet<&str>) -> BTreeMap<(String, String), u64> {
    let known: BTreeSet<String> =
        counts.keys().map(|(gold, _)| gold.clone()).chain(types.iter().map(|t| (*t).to_owned())).collect();
    let mut out = BTreeMap::new();
    for ((gold, predicted), n) in counts {
        let predicted = if predicted == MISSED || known.contains(&predicted) { predicted } else { OTHER.to_owned() };
        *out.entry((gold, predicted)).or_default() += n;
    }
    out
}

/// Names of rows and columns, the most frequent types first, and the counts.
fn matrix(counts: &BTreeMap<(String, String), u64>) -> (Vec<String>, Vec<String>, Vec<Vec<u64>>) {
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    for ((gold, predicted), n) in counts {
        for name in [gold, predicted].into_iter().filter(|n| ![MISSED, SPURIOUS, OTHER].contains(&n.as_str())) {
            *weights.entry(name).or_default() += n;
        }
    }
    let mut types: Vec<(&str, u64)> = weights.into_iter().collect();
    types.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let other = types.len() > SHOWN || counts.keys().any(|(_, predicted)| predicted == OTHER);
    let mut names: Vec<String> = types.iter().take(SHOWN).map(|(n, _)| (*n).to_owned()).collect();
    if other {
        names.push(OTHER.into());
    }
    let (mut rows, mut columns) = (names.clone(), names);
    rows.push(SPURIOUS.into());
    columns.push(MISSED.into());
    let find = |names: &[String], name: &str| {
        names.iter().position(|n| n == name).or_else(|| names.iter().position(|n| n == OTHER))
    };
    let mut matrix = vec![vec![0; columns.len()]; rows.len()];
    for ((gold, predicted), n) in counts {
        if let (Some(r), Some(c)) = (find(&rows, gold), find(&columns, predicted)) {
            matrix[r][c] += n;
        }
    }
    (rows, columns, matrix)
}
