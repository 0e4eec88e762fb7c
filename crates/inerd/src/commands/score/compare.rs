//! Two systems on the same sentences: how large the difference is, and whether it is more than noise.

use std::fmt::Write as _;

use inerd_metrics::analysis::{Flips, flips};
use inerd_metrics::statistics::{
    Difference, Exchange, Over, Randomisation, Replicate, Resampling, Statistic, approximate_randomisation, holm,
    paired_bootstrap,
};
use inerd_metrics::{Convention, MetricsError, Scores, SentenceCounts};
use inerd_text::{Generation, Sentence};
use serde::Serialize;

/// The system against the baseline.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    /// One per convention, F1. They say something about these two models, not about the methods behind them: that
    /// would take several trained models of each.
    differences: Vec<Tested>,
    /// Gold entities that the two judge differently, by type and boundaries.
    flips: Flips,
}

#[derive(Debug, Serialize)]
struct Tested {
    convention: Convention,
    /// Paired bootstrap over sentences.
    bootstrap: Difference,
    /// The same question by exchanging answers.
    randomisation: Randomisation,
    /// Holm's adjustment of the bootstrap's p-value over all conventions asked for.
    adjusted_p_value: f64,
}

pub(super) fn compare(
    sentences: &[Sentence],
    (baseline, system): (&[Generation], &[Generation]),
    baseline_scores: &[(Scores, SentenceCounts)],
    system_scores: &[(Scores, SentenceCounts)],
    resamples: u32,
) -> Result<Comparison, MetricsError> {
    let settings = Resampling { resamples: resamples as usize, over: Over::Sentences, ..Resampling::default() };
    let mut differences = Vec::new();
    for (scores, counts) in system_scores {
        // A convention that could not be computed for the baseline has no counterpart.
        let Some((_, other)) = baseline_scores.iter().find(|(s, _)| s.convention == scores.convention) else {
            continue;
        };
        let [old, new] = [other, counts].map(|counts| [Replicate { counts, unit: "1" }]);
        differences.push(Tested {
            convention: scores.convention,
            bootstrap: paired_bootstrap(&old, &new, Statistic::F1, &settings)?,
            randomisation: approximate_randomisation(&old, &new, Statistic::F1, Exchange::Sentences, &settings)?,
            adjusted_p_value: 1.0,
        });
    }
    let raw: Vec<f64> = differences.iter().map(|d| d.bootstrap.p_value).collect();
    for (difference, adjusted) in differences.iter_mut().zip(holm(&raw)) {
        difference.adjusted_p_value = adjusted;
    }
    Ok(Comparison { differences, flips: flips(sentences, baseline, system)? })
}

impl Comparison {
    pub(super) fn table(&self) -> String {
        let mut text = format!("\n{:<20} {:>10} {:>16} {:>9} {:>9}\n", "F1 − baseline", "points", "95 %", "p", "Holm");
        for Tested { convention, bootstrap, adjusted_p_value, .. } in &self.differences {
            let [value, low, high] = [bootstrap.value, bootstrap.low, bootstrap.high].map(|x| 100.0 * x);
            let interval = format!("{low:+.2} to {high:+.2}");
            // Writing to a string can't fail.
            let _ = writeln!(
                text,
                "{:<20} {value:>+10.2} {interval:>16} {:>9.4} {adjusted_p_value:>9.4}",
                convention.name(),
                bootstrap.p_value
            );
        }
        let all = &self.flips.all;
        let _ = writeln!(
            text,
            "gold entities gained {}, lost {}, McNemar's p {:.4}; these two models on other sentences, not the methods",
            all.gained, all.lost, all.p_value
        );
        text
    }
}
