//! Every arm against the declared baseline, dataset by dataset.

use crate::input::Cell;
use crate::view::View;

/// The difference between a row and its baseline on one dataset, in points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contrast {
    pub(crate) row: usize,
    pub(crate) baseline: usize,
    pub(crate) dataset: usize,
    /// Mean over the seeds that both have.
    pub(crate) difference: f64,
    pub(crate) seeds: usize,
    pub(crate) test: Option<Test>,
}

/// Under every table with marks.
pub(crate) const METHOD: &str = "† p < 0.05, ‡ p < 0.01 (two-sided paired bootstrap over seeds and sentences, adjusted \
                                 after Holm over all contrasts of the experiment).";

/// What resampling says about a difference.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    /// 95 % interval of the difference, in points.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Two-sided.
    pub(crate) p: f64,
    /// Holm over all contrasts of the experiment.
    pub(crate) adjusted: f64,
}

impl Test {
    /// Marks as papers have them: † p < 0.05, ‡ p < 0.01, adjusted.
    pub(crate) fn mark(&self) -> &'static str {
        match self.adjusted {
            p if p < 0.01 => "‡",
            p if p < 0.05 => "†",
            _ => "",
        }
    }
}

/// The baseline's row that a row is to be compared with: the one that agrees on every axis they share.
pub(crate) fn baseline_of(view: &View<'_>, row: usize) -> Option<usize> {
    let baseline = view.input.experiment.baseline.as_deref()?;
    let own = view.rows.get(row).filter(|r| r.arm != baseline)?;
    let agrees = |axes: &std::collections::BTreeMap<String, String>| {
        own.axes.iter().all(|(axis, value)| axes.get(axis).is_none_or(|v| v == value))
    };
    view.rows.iter().position(|r| r.arm == baseline && agrees(&r.axes))
}

/// Whether the experiment asks about the row: it names the arm as a contrast, or names none.
pub(crate) fn is_asked(view: &View<'_>, row: usize) -> bool {
    let asked = &view.input.experiment.contrast;
    asked.is_empty() || view.rows.get(row).is_some_and(|r| asked.contains(&r.arm))
}

/// All contrasts for which both sides have at least one seed in common.
pub(crate) fn contrasts(view: &View<'_>) -> Vec<Contrast> {
    let mut contrasts = Vec::new();
    for row in (0..view.rows.len()).filter(|row| is_asked(view, *row)) {
        let Some(baseline) = baseline_of(view, row) else { continue };
        for dataset in 0..view.datasets.len() {
            let pairs = pairs(view, row, baseline, dataset);
            if pairs.is_empty() {
                continue;
            }
            let differences: Vec<f64> =
                pairs.iter().filter_map(|(a, b)| Some(view.value(a)? - view.value(b)?)).collect();
            let difference = differences.iter().sum::<f64>() / differences.len() as f64;
            contrasts.push(Contrast { row, baseline, dataset, difference, seeds: pairs.len(), test: None });
        }
    }
    contrasts
}

/// The scored cells of both rows with equal seeds.
pub(crate) fn pairs<'a>(view: &View<'a>, row: usize, baseline: usize, dataset: usize) -> Vec<(&'a Cell, &'a Cell)> {
    let scored = |cell: &&&Cell| view.value(cell).is_some();
    let others = view.cells(baseline, dataset);
    (view.cells(row, dataset).iter().filter(scored))
        .filter_map(|cell| Some((*cell, *others.iter().filter(scored).find(|o| o.seed == cell.seed)?)))
        .collect()
}
