//! The answer to the experiment's question, in a word and a sentence.

use std::fmt;

use crate::contrast::Contrast;
use crate::view::View;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Supported,
    NotSupported,
    /// Supported by some contrasts, and by others not.
    InPart {
        supported: usize,
        of: usize,
    },
    Underpowered {
        /// Further seeds that would decide it; `None` where no number would be honest.
        seeds: Option<usize>,
    },
    /// Without a baseline there is nothing to decide, and with missing cells it would be too early.
    Open,
}

impl Verdict {
    /// For the page's style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::NotSupported => "not-supported",
            Self::InPart { .. } => "in-part",
            Self::Underpowered { .. } => "underpowered",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Supported => f.write_str("Supported"),
            Self::NotSupported => f.write_str("Not supported"),
            Self::InPart { supported, of } => write!(f, "Supported in {supported} of {of} contrasts"),
            Self::Underpowered { seeds: Some(1) } => f.write_str("Underpowered: about 1 more seed"),
            Self::Underpowered { seeds: Some(n) } => write!(f, "Underpowered: about {n} more seeds"),
            Self::Underpowered { seeds: None } => f.write_str("Underpowered"),
            Self::Open => f.write_str("Open"),
        }
    }
}

pub(crate) fn answer(view: &View<'_>, contrasts: &[Contrast]) -> Answer {
    let Some(baseline) = &view.input.experiment.baseline else {
        return open("The experiment names no baseline.".into());
    };
    if contrasts.is_empty() {
        return open(format!("No arm has a seed in common with the baseline {baseline} yet."));
    }
    let least = view.input.experiment.min_effect.unwrap_or(0.0);
    let said: Vec<String> = contrasts.iter().map(|c| sentence(view, c)).collect();
    let reason = said.join("; ") + ".";
    if contrasts.iter().any(|c| c.incomplete || c.test.is_none()) {
        return open(format!("Not all seeds are there yet. {reason}"));
    }
    let decided: Vec<Decision> = contrasts.iter().map(|c| decide(c, least)).collect();
    let count = |decision| decided.iter().filter(|d| **d == decision).count();
    let verdict = if count(Decision::Open) > 0 {
        let undecided = contrasts.iter().zip(&decided).filter(|(_, d)| **d == Decision::Open);
        // No further seed helps where it is the test set that is too small.
        let seeds: Option<Vec<usize>> = undecided.map(|(c, _)| c.more_seeds).collect();
        Verdict::Underpowered { seeds: seeds.and_then(|s| s.into_iter().max()).filter(|n| *n > 0) }
    } else if count(Decision::For) == decided.len() {
        Verdict::Supported
    } else if count(Decision::For) == 0 {
        Verdict::NotSupported
    } else {
        Verdict::InPart { supported: count(Decision::For), of: decided.len() }
    };
    Answer { verdict, reason }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    For,
    Against,
    Open,
}

/// For: significantly better (after Holm) and by at least the smallest effect worth claiming. Against: significantly
/// worse, or the interval leaves no room for such an effect. Open otherwise.
fn decide(contrast: &Contrast, least: f64) -> Decision {
    let Some(test) = &contrast.test else { return Decision::Open };
    let significant = test.adjusted < 0.05;
    if significant && contrast.difference > 0.0 && contrast.difference >= least {
        Decision::For
    } else if (significant && contrast.difference < 0.0) || test.high < least {
        Decision::Against
    } else {
        Decision::Open
    }
}

fn open(reason: String) -> Answer {
    Answer { verdict: Verdict::Open, reason }
}

/// "merged − individual on alpha: +11.0 points (n = 3)".
fn sentence(view: &View<'_>, contrast: &Contrast) -> String {
    let Contrast { row, baseline, dataset, difference, seeds, test, .. } = contrast;
    let interval = test.as_ref().map(|t| format!(" [{}, {}]", signed(t.low), signed(t.high))).unwrap_or_default();
    format!(
        "{} − {} on {}: {} points{interval} (n = {seeds})",
        view.rows[*row].name,
        view.rows[*baseline].name,
        view.datasets[*dataset],
        signed(*difference)
    )
}

/// "+1.2", "−0.3": with the sign that belongs to numbers.
pub(crate) fn signed(value: f64) -> String {
    format!("{value:+.1}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contrast::Test;

    fn decided(difference: f64, low: f64, high: f64, adjusted: f64, least: f64) -> Decision {
        let test = Some(Test { low, high, p: adjusted, adjusted });
        let contrast = Contrast {
            row: 1,
            baseline: 0,
            dataset: 0,
            difference,
            seeds: 5,
            effect_size: None,
            test,
            more_seeds: None,
            incomplete: false,
        };
        decide(&contrast, least)
    }

    #[test]
    fn a_difference_must_be_sure_and_large_enough() {
        assert_eq!(decided(1.0, 0.4, 1.6, 0.01, 0.3), Decision::For);
        assert_eq!(decided(0.2, 0.1, 0.29, 0.01, 0.3), Decision::Against, "sure, but below what is worth claiming");
        assert_eq!(decided(0.2, 0.1, 0.4, 0.01, 0.3), Decision::Open);
        assert_eq!(decided(1.0, -0.4, 2.4, 0.2, 0.3), Decision::Open);
        assert_eq!(decided(-1.0, -1.6, -0.4, 0.01, 0.3), Decision::Against);
        assert_eq!(decided(0.0, -0.2, 0.2, 1.0, 0.3), Decision::Against, "the interval leaves no room");
        assert_eq!(decided(0.0, 0.0, 0.0, 1.0, 0.0), Decision::Open);
    }

    #[test]
    fn verdicts_read_as_sentences() {
        assert_eq!(Verdict::Underpowered { seeds: Some(4) }.to_string(), "Underpowered: about 4 more seeds");
        assert_eq!(Verdict::InPart { supported: 1, of: 3 }.to_string(), "Supported in 1 of 3 contrasts");
        assert_eq!(signed(-0.25), "−0.2");
    }
}
