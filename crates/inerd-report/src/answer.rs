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
    /// The data do not decide.
    Underpowered(More),
    /// Without a baseline there is nothing to decide, and with missing cells it would be too early.
    Open,
}

/// How many further seeds would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    /// From the power of a test with the deviation that the seeds show.
    About(usize),
    /// Below three seeds nobody knows the deviation.
    AtLeast(usize),
    /// No number would be honest: it is the test set that is too small, or the effect next to nothing.
    Unknown,
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = |n: &usize| if *n == 1 { "seed" } else { "seeds" };
        match self {
            Self::About(n) => write!(f, ": about {n} more {}", seeds(n)),
            Self::AtLeast(n) => write!(f, ": at least {n} more {}", seeds(n)),
            Self::Unknown => Ok(()),
        }
    }
}

impl Verdict {
    /// For the page's style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::NotSupported => "not-supported",
            Self::InPart { .. } => "in-part",
            Self::Underpowered(_) => "underpowered",
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
            Self::Underpowered(more) => write!(f, "Underpowered{more}"),
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
    let decided: Vec<Decision> = contrasts.iter().map(|c| decide(c, least)).collect();
    let reason = reason(view, contrasts, &decided);
    let unready = contrasts.iter().filter(|c| c.incomplete || c.test.is_none()).count();
    if unready > 0 {
        return open(format!("Seeds are missing in {unready} of {} contrasts. {reason}", contrasts.len()));
    }
    let count = |decision| decided.iter().filter(|d| **d == decision).count();
    let verdict = if count(Decision::Open) > 0 {
        let undecided = contrasts.iter().zip(&decided).filter(|(_, d)| **d == Decision::Open).map(|(c, _)| c);
        Verdict::Underpowered(more(undecided))
    } else if count(Decision::For) == decided.len() {
        Verdict::Supported
    } else if count(Decision::For) == 0 {
        Verdict::NotSupported
    } else {
        Verdict::InPart { supported: count(Decision::For), of: decided.len() }
    };
    Answer { verdict, reason }
}

/// What the undecided contrasts need, the worst of them first.
fn more<'a>(undecided: impl Iterator<Item = &'a Contrast> + Clone) -> More {
    /// Seeds from which a deviation means something.
    const FEW: usize = 3;
    if let Some(lacking) = undecided.clone().map(|c| FEW.saturating_sub(c.seeds)).max().filter(|n| *n > 0) {
        return More::AtLeast(lacking);
    }
    let needed: Option<Vec<usize>> = undecided.map(|c| c.more_seeds).collect();
    // No further seed helps where it is the test set that is too small.
    needed.and_then(|n| n.into_iter().max()).filter(|n| *n > 0).map_or(More::Unknown, More::About)
}

/// A few contrasts are told one by one, many by their arms; the table has them all.
fn reason(view: &View<'_>, contrasts: &[Contrast], decided: &[Decision]) -> String {
    const FEW: usize = 3;
    if contrasts.len() <= FEW {
        return contrasts.iter().map(|c| sentence(view, c)).collect::<Vec<_>>().join("; ") + ".";
    }
    let mut arms: Vec<&str> = Vec::new();
    for contrast in contrasts {
        let arm = view.rows[contrast.row].arm.as_str();
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    let baseline = &view.rows[contrasts[0].baseline].arm;
    let of_arm = |arm: &&str| {
        let own = || contrasts.iter().zip(decided).filter(|(c, _)| view.rows[c.row].arm == **arm);
        let count = |decision| own().filter(|(_, d)| **d == decision).count();
        let differences: Vec<f64> = own().map(|(c, _)| c.difference).collect();
        let (low, high) =
            differences.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), d| (l.min(*d), h.max(*d)));
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        format!(
            "{arm} is better than {baseline} in {} of {} contrasts, not better in {}, undecided in {} (mean difference \
             {} points, from {} to {})",
            count(Decision::For),
            differences.len(),
            count(Decision::Against),
            count(Decision::Open),
            signed(mean),
            signed(low),
            signed(high)
        )
    };
    arms.iter().map(of_arm).collect::<Vec<_>>().join("; ") + "."
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    For,
    Against,
    Open,
}

/// For: significantly better (after Holm) and by at least the smallest effect worth claiming. Against: significantly
/// worse, or the interval leaves no room for such an effect. Open otherwise, and where one training stands for all.
fn decide(contrast: &Contrast, least: f64) -> Decision {
    let Some(test) = contrast.test.as_ref().filter(|t| t.over_seeds) else { return Decision::Open };
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
        let test = Some(Test { low, high, p: adjusted, adjusted, over_seeds: true });
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
        assert_eq!(Verdict::Underpowered(More::About(4)).to_string(), "Underpowered: about 4 more seeds");
        assert_eq!(Verdict::Underpowered(More::AtLeast(1)).to_string(), "Underpowered: at least 1 more seed");
        assert_eq!(Verdict::Underpowered(More::Unknown).to_string(), "Underpowered");
        assert_eq!(Verdict::InPart { supported: 1, of: 3 }.to_string(), "Supported in 1 of 3 contrasts");
        assert_eq!(signed(-0.25), "−0.2");
    }
}
