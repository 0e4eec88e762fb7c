//! How sure the results are so far: what decides whether another replicate is worth its cost.

use std::collections::BTreeMap;

use inerd_experiment::{Fingerprint, Plan};
use inerd_metrics::{Convention, ScoreReport, statistics};
use serde::Serialize;

use crate::stages::score::SCORES;
use crate::{Error, Store};

/// The widest 95 % interval over the results of an experiment, in points of its metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Width {
    /// Half of the interval: the ± of `61.0 ± 1.0`.
    pub half: f64,
    /// Whose it is: arm, point and dataset.
    pub of: String,
    /// Independent replicates behind it.
    pub replicates: usize,
}

/// The result that is known least exactly; `None` while one has fewer than three independent replicates. Replicates that
/// share a training are one: what they share doesn't vary between them.
///
/// # Errors
/// Where the metric has no such name, or scores can't be read.
pub fn widest(plan: &Plan, store: &Store, metric: &str) -> Result<Option<Width>, Error> {
    let unknown = || Error::Unsupported(format!("`{metric}` is no metric: write one such as f1.span"));
    let (kind, convention) = metric.split_once('.').unwrap_or((metric, "span"));
    let convention: Convention = convention.parse().map_err(|_| unknown())?;
    let mut results: BTreeMap<String, BTreeMap<Option<Fingerprint>, Vec<f64>>> = BTreeMap::new();
    for cell in &plan.cells {
        let axes: Vec<String> = cell.point.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let name = [vec![cell.arm.clone()], axes, vec![cell.dataset.clone()]].concat().join(" ");
        // The first training behind a result is what replicates may have in common; without one, the answers are.
        let unit = cell.lineage.first().copied().or(Some(cell.score));
        let values = results.entry(name).or_default().entry(unit).or_default();
        if store.contains(cell.score) {
            let report: ScoreReport = store.get(cell.score)?.json(SCORES)?;
            let prf = report.scores.get(&convention).map(|score| &score.micro.prf);
            let value = prf.and_then(|prf| match kind {
                "f1" => Some(prf.f1),
                "precision" => Some(prf.precision),
                "recall" => Some(prf.recall),
                _ => None,
            });
            values.push(100.0 * value.ok_or_else(unknown)?);
        }
    }
    let mut widest: Option<Width> = None;
    for (of, units) in results {
        let means: Vec<f64> =
            units.values().filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64).collect();
        let Some(half) = statistics::Summary::new(&means).and_then(|summary| summary.half_width(0.95)) else {
            return Ok(None);
        };
        if widest.as_ref().is_none_or(|known| half > known.half) {
            widest = Some(Width { half, of, replicates: means.len() });
        }
    }
    Ok(widest)
}
