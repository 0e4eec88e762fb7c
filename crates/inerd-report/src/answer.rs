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
    let said: Vec<String> = contrasts.iter().map(|c| sentence(view, c)).collect();
    Answer { verdict: Verdict::Open, reason: said.join("; ") + "." }
}

fn open(reason: String) -> Answer {
    Answer { verdict: Verdict::Open, reason }
}

/// "merged − individual on alpha: +11.0 points (n = 3)".
fn sentence(view: &View<'_>, contrast: &Contrast) -> String {
    let Contrast { row, baseline, dataset, difference, seeds, test } = contrast;
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
