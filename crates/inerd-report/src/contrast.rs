//! Every arm against the declared baseline, dataset by dataset, and how sure a figure is.

use std::collections::BTreeMap;

use inerd_metrics::statistics::{
    Over, Replicate, Resampling, Statistic, bootstrap, effect_size, holm, more_seeds, paired_bootstrap,
};

use crate::input::Cell;
use crate::view::{MetricKind, View};

/// Under every table with marks.
pub(crate) fn method(contrasts: &[Contrast]) -> String {
    let tests = || contrasts.iter().filter_map(|c| c.test.as_ref());
    let over = if tests().all(|t| t.over_seeds) {
        "seeds and sentences"
    } else if tests().any(|t| t.over_seeds) {
        "seeds and sentences, over sentences where all seeds share a training"
    } else {
        "sentences: with one training it says nothing about others"
    };
    format!(
        "† p < 0.05, ‡ p < 0.01 (two-sided paired bootstrap over {over}; adjusted after Holm over all contrasts of the \
         experiment)."
    )
}

/// The difference between a row and its baseline on one dataset, in points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contrast {
    pub(crate) row: usize,
    pub(crate) baseline: usize,
    pub(crate) dataset: usize,
    /// Mean over the seeds that both have.
    pub(crate) difference: f64,
    pub(crate) seeds: usize,
    /// Hedges' g; `None` where nothing deviates.
    pub(crate) effect_size: Option<f64>,
    /// `None` where the two were not tested on the same sentences.
    pub(crate) test: Option<Test>,
    /// Further seeds with which the smallest effect worth claiming (or this one, where none is declared) would be found
    /// in four of five cases; `None` where the deviation is unknown.
    pub(crate) more_seeds: Option<usize>,
    /// Either side misses seeds.
    pub(crate) incomplete: bool,
}

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
    /// Whether it speaks of the method, and not only of the one training there is.
    pub(crate) over_seeds: bool,
}

impl Test {
    pub(crate) fn mark(&self) -> &'static str {
        match self.adjusted {
            p if p < 0.01 => "‡",
            p if p < 0.05 => "†",
            _ => "",
        }
    }
}

/// The baseline's row that a row is to be compared with: the one that agrees on every axis they share.
fn baseline_of(view: &View<'_>, row: usize) -> Option<usize> {
    let baseline = view.input.experiment.baseline.as_deref()?;
    let own = view.rows.get(row).filter(|r| r.arm != baseline)?;
    let agrees = |axes: &BTreeMap<String, String>| {
        own.axes.iter().all(|(axis, value)| axes.get(axis).is_none_or(|v| v == value))
    };
    view.rows.iter().position(|r| r.arm == baseline && agrees(&r.axes))
}

/// Whether the experiment asks about the row: it names the arm as a contrast, or names none.
fn is_asked(view: &View<'_>, row: usize) -> bool {
    let asked = &view.input.experiment.contrast;
    asked.is_empty() || view.rows.get(row).is_some_and(|r| asked.contains(&r.arm))
}

/// All contrasts for which both sides have at least one seed in common.
pub(crate) fn contrasts(view: &View<'_>) -> Vec<Contrast> {
    let mut contrasts = Vec::new();
    for row in (0..view.rows.len()).filter(|row| is_asked(view, *row)) {
        let Some(baseline) = baseline_of(view, row) else { continue };
        contrasts.extend((0..view.datasets.len()).filter_map(|dataset| contrast(view, row, baseline, dataset)));
    }
    let resamples = resamples(view, contrasts.len());
    for contrast in &mut contrasts {
        contrast.test = test(view, contrast, resamples);
    }
    let tested: Vec<f64> = contrasts.iter().filter_map(|c| c.test.as_ref().map(|t| t.p)).collect();
    for (test, adjusted) in contrasts.iter_mut().filter_map(|c| c.test.as_mut()).zip(holm(&tested)) {
        test.adjusted = adjusted;
    }
    contrasts
}

fn contrast(view: &View<'_>, row: usize, baseline: usize, dataset: usize) -> Option<Contrast> {
    let pairs = pairs(view, row, baseline, dataset);
    let (arm, base): (Vec<f64>, Vec<f64>) =
        pairs.iter().filter_map(|(a, b)| Some((view.value(a)?, view.value(b)?))).unzip();
    if arm.is_empty() {
        return None;
    }
    let difference = arm.iter().zip(&base).map(|(a, b)| a - b).sum::<f64>() / arm.len() as f64;
    let (own, other) = (view.summary(row, dataset), view.summary(baseline, dataset));
    let deviation = own.deviation.zip(other.deviation).map(|(a, b)| a.max(b));
    let effect = view.input.experiment.min_effect.filter(|e| *e > 0.0).unwrap_or_else(|| difference.abs());
    Some(Contrast {
        row,
        baseline,
        dataset,
        difference,
        seeds: arm.len(),
        effect_size: effect_size(&arm, &base, 0.95).and_then(|e| e.g),
        test: None,
        more_seeds: deviation.and_then(|d| more_seeds(arm.len(), effect, d, 0.05, 0.8)),
        incomplete: !own.complete() || !other.complete(),
    })
}

fn test(view: &View<'_>, contrast: &Contrast, resamples: usize) -> Option<Test> {
    let pairs = pairs(view, contrast.row, contrast.baseline, contrast.dataset);
    let ids = &pairs.first()?.0.scores.as_ref()?.ids;
    let same = |cell: &Cell| cell.scores.as_ref().is_some_and(|s| s.ids == *ids);
    if !pairs.iter().all(|(a, b)| same(a) && same(b)) {
        return None;
    }
    let units: Vec<(String, String)> = pairs.iter().map(|(a, b)| (unit(a), unit(b))).collect();
    let (arm, baseline): (Vec<Replicate<'_>>, Vec<Replicate<'_>>) = (pairs.iter().zip(&units))
        .filter_map(|((a, b), (own, other))| Some((replicate(view, a, own)?, replicate(view, b, other)?)))
        .unzip();
    let settings = Resampling { resamples, over: Over::SeedsAndSentences, ..Resampling::default() };
    let found = paired_bootstrap(&baseline, &arm, statistic(view), &settings).ok()?;
    let finite = [found.low, found.high, found.p_value].iter().all(|v| v.is_finite());
    finite.then_some(Test {
        low: 100.0 * found.low,
        high: 100.0 * found.high,
        p: found.p_value,
        adjusted: found.p_value,
        over_seeds: found.over == Over::SeedsAndSentences,
    })
}

/// 95 % interval of a row's figure on a dataset, in points: hierarchical bootstrap over seeds and sentences.
pub(crate) fn interval(view: &View<'_>, cells: &[&Cell]) -> Option<(f64, f64)> {
    let units: Vec<String> = cells.iter().map(|c| unit(c)).collect();
    let replicates: Vec<Replicate<'_>> =
        cells.iter().zip(&units).filter_map(|(cell, unit)| replicate(view, cell, unit)).collect();
    // Whiskers are read off a picture; p-values decide, and get more.
    let settings = Resampling { resamples: 1_000, over: Over::SeedsAndSentences, ..Resampling::default() };
    let found = bootstrap(&replicates, statistic(view), &settings).ok()?;
    (found.low.is_finite() && found.high.is_finite()).then_some((100.0 * found.low, 100.0 * found.high))
}

/// Resamples for each of `count` questions: 10,000, fewer where a large sweep would take minutes. A function of the
/// input alone, so the same report comes out everywhere.
fn resamples(view: &View<'_>, count: usize) -> usize {
    let sentences = view.input.cells.iter().filter_map(|c| c.scores.as_ref()).map(|s| s.ids.len()).max().unwrap_or(0);
    let work = sentences * 2 * view.input.experiment.seeds.len().max(1) * count.max(1);
    (1_000_000_000 / work.max(1)).clamp(1_000, 10_000)
}

/// What is independent of the other cells: the seed, or the training prefix that several share.
fn unit(cell: &Cell) -> String {
    cell.unit.clone().unwrap_or_else(|| cell.seed.to_string())
}

fn replicate<'a>(view: &View<'_>, cell: &'a Cell, unit: &'a str) -> Option<Replicate<'a>> {
    let counts = cell.scores.as_ref()?.per_sentence.get(&view.metric.convention)?;
    Some(Replicate { counts, unit })
}

fn statistic(view: &View<'_>) -> Statistic {
    match view.metric.kind {
        MetricKind::F1 => Statistic::F1,
        MetricKind::Precision => Statistic::Precision,
        MetricKind::Recall => Statistic::Recall,
    }
}

/// The scored cells of both rows with equal seeds.
pub(crate) fn pairs<'a>(view: &View<'a>, row: usize, baseline: usize, dataset: usize) -> Vec<(&'a Cell, &'a Cell)> {
    let scored = |cell: &&&Cell| view.value(cell).is_some();
    let others = view.cells(baseline, dataset);
    (view.cells(row, dataset).iter().filter(scored))
        .filter_map(|cell| Some((*cell, *others.iter().filter(scored).find(|o| o.seed == cell.seed)?)))
        .collect()
}
