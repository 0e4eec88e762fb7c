//! Tables with one line per row and dataset: conventions, errors, masks, cost.

use std::collections::BTreeMap;

use inerd_metrics::analysis::{ErrorAnalysis, Slice};
use inerd_metrics::{Convention, Counts, ScoreReport};
use polars::prelude::Column;

use super::{Entry, Heading, Table};
use crate::Error;
use crate::frame::frame;
use crate::input::Cell;
use crate::view::{Summary, View};

/// "61.0 ± 1.0", or "–" where nothing is known.
fn mean_entry(summary: &Summary, decimals: usize) -> Entry {
    let Some(mean) = summary.mean else { return Entry::empty() };
    let spread = summary.deviation.map(|d| format!(" ± {d:.decimals$}")).unwrap_or_default();
    Entry::number(mean, format!("{mean:.decimals$}{spread}"))
}

fn named(view: &View<'_>, row: usize, dataset: usize) -> Vec<Entry> {
    vec![Entry::words(&view.rows[row].name), Entry::words(&view.datasets[dataset])]
}

fn headings<'a>(rest: impl IntoIterator<Item = &'a str>) -> Vec<Heading> {
    let words = ["Arm", "Dataset"].map(Heading::words);
    words.into_iter().chain(rest.into_iter().map(Heading::numbers)).collect()
}

/// The same answers under every convention: an end to the argument about whose F1 is meant.
pub(super) fn conventions(view: &View<'_>) -> Result<Option<Table>, Error> {
    let scored = || view.input.cells.iter().filter_map(|c| c.scores.as_ref());
    let known: Vec<Convention> =
        Convention::ALL.into_iter().filter(|c| scored().any(|s| s.scores.contains_key(c))).collect();
    if known.len() < 2 {
        return Ok(None);
    }
    let f1 =
        |cell: &Cell, convention: Convention| Some(100.0 * cell.scores.as_ref()?.scores.get(&convention)?.micro.prf.f1);
    let (mut rows, mut tidy) = (Vec::new(), Vec::new());
    for (row, dataset, cells) in view.groups() {
        let mut entries = named(view, row, dataset);
        for &convention in &known {
            entries.push(mean_entry(&view.summarise(cells, |c| f1(c, convention)), 1));
            for cell in cells {
                let Some(score) = cell.scores.as_ref().and_then(|s| s.scores.get(&convention)) else { continue };
                tidy.push((row, dataset, cell.seed, convention, score));
            }
        }
        rows.push(entries);
    }
    let data = frame(
        "conventions",
        vec![
            Column::new("arm".into(), tidy.iter().map(|t| view.rows[t.0].name.as_str()).collect::<Vec<_>>()),
            Column::new("dataset".into(), tidy.iter().map(|t| view.datasets[t.1].as_str()).collect::<Vec<_>>()),
            Column::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Column::new("convention".into(), tidy.iter().map(|t| t.3.name()).collect::<Vec<_>>()),
            Column::new("precision".into(), tidy.iter().map(|t| t.4.micro.prf.precision).collect::<Vec<_>>()),
            Column::new("recall".into(), tidy.iter().map(|t| t.4.micro.prf.recall).collect::<Vec<_>>()),
            Column::new("f1".into(), tidy.iter().map(|t| t.4.micro.prf.f1).collect::<Vec<_>>()),
            Column::new("macro_f1".into(), tidy.iter().map(|t| t.4.macro_.f1).collect::<Vec<_>>()),
            Column::new("weighted_f1".into(), tidy.iter().map(|t| t.4.weighted.f1).collect::<Vec<_>>()),
            Column::new("signature".into(), tidy.iter().map(|t| t.4.signature.as_str()).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![format!(
        "Micro F1 in points of the same answers under every convention, {}. The CSV has precision, recall, macro and \
             weighted F1 and the signature of every figure.",
        view.spread()
    )];
    let title = "F1 under every convention".into();
    Ok(Some(Table { stem: "conventions", title, columns: headings(known.iter().map(|c| c.name())), rows, notes, data }))
}

const KINDS: [&str; 10] = [
    "correct",
    "wrong type",
    "wrong boundary",
    "wrong type and boundary",
    "spurious",
    "missed",
    "begins wrong",
    "ends wrong",
    "too long",
    "too short",
];

/// Entities by kind of error, in the order of [`KINDS`].
fn kinds(scores: &ScoreReport) -> [u64; KINDS.len()] {
    let errors = &scores.errors;
    let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
    let pairs = || errors.confusion.pairs.iter().flat_map(|(gold, row)| row.iter().map(move |(p, n)| (gold == p, *n)));
    let with_type = |right: bool| pairs().filter(|(same, _)| *same == right).map(|(_, n)| n).sum::<u64>();
    let b = &errors.boundaries;
    let moved = b.left + b.right + b.both;
    // The confusion knows types, the boundaries know places; together with the exact matches they give the rest.
    let correct = scores.scores.get(&Convention::Span).map_or(0, |s| s.micro.counts.tp);
    let boundary = with_type(true).saturating_sub(correct);
    let both = moved.saturating_sub(boundary);
    let wrong_type = with_type(false).saturating_sub(both);
    let (spurious, missed) = (sum(&errors.confusion.spurious), sum(&errors.confusion.missed));
    [correct, wrong_type, boundary, both, spurious, missed, b.left + b.both, b.right + b.both, b.too_long, b.too_short]
}

/// What became of the predictions, summed over seeds.
pub(super) fn errors(view: &View<'_>) -> Result<Option<Table>, Error> {
    let (mut rows, mut tidy) = (Vec::new(), Vec::new());
    for (row, dataset, cells) in view.groups() {
        let mut totals = [0u64; KINDS.len()];
        let mut seen = false;
        for (seed, scores) in cells.iter().filter_map(|c| Some((c.seed, c.scores.as_ref()?))) {
            seen = true;
            for (total, (kind, count)) in totals.iter_mut().zip(KINDS.into_iter().zip(kinds(scores))) {
                *total += count;
                tidy.push((row, dataset, seed, kind, count));
            }
        }
        if seen {
            let mut entries = named(view, row, dataset);
            entries.extend(totals.map(|n| Entry::number(n as f64, n.to_string())));
            rows.push(entries);
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let data = frame(
        "errors",
        vec![
            Column::new("arm".into(), tidy.iter().map(|t| view.rows[t.0].name.as_str()).collect::<Vec<_>>()),
            Column::new("dataset".into(), tidy.iter().map(|t| view.datasets[t.1].as_str()).collect::<Vec<_>>()),
            Column::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Column::new("kind".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
            Column::new("count".into(), tidy.iter().map(|t| t.4).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![
        "Entities, summed over seeds. A prediction that is not correct is compared with a gold entity in its place or \
         overlapping it; spurious predictions and missed entities have no counterpart. The last four columns split the \
         wrong boundaries."
            .into(),
    ];
    Ok(Some(Table { stem: "errors", title: "Error analysis".into(), columns: headings(KINDS), rows, notes, data }))
}

/// F1 by properties of the mention and its sentence.
pub(super) fn slices(view: &View<'_>) -> Result<Option<Table>, Error> {
    type Property = (&'static str, fn(&ErrorAnalysis) -> &[Slice]);
    let properties: [Property; 6] = [
        ("length (tokens)", |e| &e.by_length),
        ("type frequency", |e| &e.by_type_frequency),
        ("entity density", |e| &e.by_density),
        ("position", |e| &e.by_position),
        ("surface in training", |e| &e.by_seen),
        ("types in training", |e| &e.by_ambiguity),
    ];
    // (property, label) → counts of each row, over datasets and seeds.
    let mut parts: Vec<(&str, &str, Vec<Counts>)> = Vec::new();
    for (row, _, cells) in view.groups() {
        for errors in cells.iter().filter_map(|c| Some(&c.scores.as_ref()?.errors)) {
            for (property, slices) in &properties {
                for slice in slices(errors) {
                    let known = parts.iter().position(|(p, l, _)| p == property && *l == slice.label);
                    let at = known.unwrap_or_else(|| {
                        parts.push((property, &slice.label, vec![Counts::default(); view.rows.len()]));
                        parts.len() - 1
                    });
                    parts[at].2[row] += slice.score.counts;
                }
            }
        }
    }
    if parts.is_empty() {
        return Ok(None);
    }
    // Stable: the parts of a property stay in the order in which the analysis has them.
    parts.sort_by_key(|(property, ..)| properties.iter().position(|(p, _)| p == property));
    let mut columns = vec![Heading::words("Property"), Heading::words("Part")];
    columns.extend(view.rows.iter().map(|r| Heading::numbers(&r.name)));
    let cell = |counts: &Counts| {
        if counts.support() + counts.predicted() == 0 {
            return Entry::empty();
        }
        let f1 = 100.0 * counts.prf().f1;
        Entry::number(f1, format!("{f1:.1} ({})", counts.support()))
    };
    let rows = (parts.iter())
        .map(|(property, label, counts)| {
            [Entry::words(*property), Entry::words(*label)].into_iter().chain(counts.iter().map(cell)).collect()
        })
        .collect();
    let flat: Vec<(&str, &str, &str, Counts)> = (parts.iter())
        .flat_map(|(p, l, counts)| view.rows.iter().zip(counts).map(move |(r, c)| (*p, *l, r.name.as_str(), *c)))
        .collect();
    let data = frame(
        "slices",
        vec![
            Column::new("property".into(), flat.iter().map(|t| t.0).collect::<Vec<_>>()),
            Column::new("part".into(), flat.iter().map(|t| t.1).collect::<Vec<_>>()),
            Column::new("arm".into(), flat.iter().map(|t| t.2).collect::<Vec<_>>()),
            Column::new("tp".into(), flat.iter().map(|t| t.3.tp).collect::<Vec<_>>()),
            Column::new("fp".into(), flat.iter().map(|t| t.3.fp).collect::<Vec<_>>()),
            Column::new("fn".into(), flat.iter().map(|t| t.3.fn_).collect::<Vec<_>>()),
        ],
    )?;
    let notes = vec![
        "F1 in points (gold entities) of parts of the entities, counts summed over datasets and seeds. Hits and misses are \
         sorted by the gold entity, false positives by the prediction."
            .into(),
        format!("Signature: {}.", Convention::Span.signature()),
    ];
    Ok(Some(Table { stem: "slices", title: "Results by part".into(), columns, rows, notes, data }))
}

/// What every masking rule did: how often it took tokens away, and how much probability with them.
pub(super) fn masks(view: &View<'_>) -> Result<Option<Table>, Error> {
    let mut rules: Vec<&str> = Vec::new();
    for audit in view.input.cells.iter().flat_map(|c| &c.audit) {
        if !rules.contains(&audit.rule.as_str()) {
            rules.push(&audit.rule);
        }
    }
    if rules.is_empty() {
        return Ok(None);
    }
    let (mut rows, mut tidy) = (Vec::new(), Vec::new());
    for (row, dataset, cells) in view.groups() {
        for rule in &rules {
            let of_rule =
                || cells.iter().flat_map(|c| c.audit.iter().map(move |a| (c.seed, a))).filter(|(_, a)| a.rule == *rule);
            if of_rule().next().is_none() {
                continue;
            }
            tidy.extend(of_rule().map(|(seed, audit)| (row, dataset, seed, audit)));
            let sum = |f: fn(&crate::RuleAudit) -> f64| of_rule().map(|(_, a)| f(a)).sum::<f64>();
            let (steps, fired) = (sum(|a| a.steps as f64), sum(|a| a.fired as f64));
            let share = |part: f64, whole: f64, decimals: usize| {
                if whole > 0.0 {
                    Entry::number(100.0 * part / whole, format!("{:.decimals$}", 100.0 * part / whole))
                } else {
                    Entry::empty()
                }
            };
            let mut entries = named(view, row, dataset);
            entries.insert(2, Entry::words(*rule));
            entries.push(Entry::number(steps, format!("{steps:.0}")));
            entries.push(share(fired, steps, 1));
            entries.push(share(sum(|a| a.argmax_removed as f64), steps, 1));
            entries.push(share(sum(|a| a.mass_removed), steps, 2));
            rows.push(entries);
        }
    }
    let data = frame(
        "masks",
        vec![
            Column::new("arm".into(), tidy.iter().map(|t| view.rows[t.0].name.as_str()).collect::<Vec<_>>()),
            Column::new("dataset".into(), tidy.iter().map(|t| view.datasets[t.1].as_str()).collect::<Vec<_>>()),
            Column::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Column::new("rule".into(), tidy.iter().map(|t| t.3.rule.as_str()).collect::<Vec<_>>()),
            Column::new("steps".into(), tidy.iter().map(|t| t.3.steps).collect::<Vec<_>>()),
            Column::new("fired".into(), tidy.iter().map(|t| t.3.fired).collect::<Vec<_>>()),
            Column::new("argmax_removed".into(), tidy.iter().map(|t| t.3.argmax_removed).collect::<Vec<_>>()),
            Column::new("mass_removed".into(), tidy.iter().map(|t| t.3.mass_removed).collect::<Vec<_>>()),
        ],
    )?;
    let mut columns = headings(["Steps", "Fired (%)", "Changed (%)", "Mass removed (%)"]);
    columns.insert(2, Heading::words("Rule"));
    let notes = vec![
        "Fired: decoding steps at which the rule took at least one token away that no rule before it had taken. Changed: \
         steps at which it took the token that free decoding would have written. Mass removed: the model's probability of \
         the tokens taken, mean over steps. Summed over seeds."
            .into(),
    ];
    Ok(Some(Table { stem: "mask-audit", title: "Mask audit".into(), columns, rows, notes, data }))
}

/// What the arms took.
pub(super) fn cost(view: &View<'_>) -> Result<Option<Table>, Error> {
    type Measure = (&'static str, usize, fn(&Cell) -> Option<f64>);
    let measures: [Measure; 6] = [
        ("Training (s)", 1, |c| positive(c.cost.training_seconds)),
        ("Training tokens", 0, |c| positive(c.cost.training_tokens as f64)),
        ("Generation (s)", 1, |c| positive(c.cost.generation_seconds)),
        ("Generated tokens", 0, |c| positive(c.cost.generation_tokens as f64)),
        ("Energy (kJ)", 1, |c| c.cost.joules.map(|j| j / 1000.0)),
        ("Peak memory (MiB)", 0, |c| c.cost.peak_bytes.map(|b| b as f64 / f64::from(1 << 20))),
    ];
    let known: Vec<&Measure> = measures.iter().filter(|m| view.input.cells.iter().any(|c| m.2(c).is_some())).collect();
    if known.is_empty() {
        return Ok(None);
    }
    let (mut rows, mut tidy) = (Vec::new(), Vec::new());
    for (row, dataset, cells) in view.groups() {
        let mut entries = named(view, row, dataset);
        for (name, decimals, value) in &known {
            entries.push(mean_entry(&view.summarise(cells, value), *decimals));
            tidy.extend(cells.iter().filter_map(|c| Some((row, dataset, c.seed, *name, value(c)?))));
        }
        rows.push(entries);
    }
    let data = frame(
        "cost",
        vec![
            Column::new("arm".into(), tidy.iter().map(|t| view.rows[t.0].name.as_str()).collect::<Vec<_>>()),
            Column::new("dataset".into(), tidy.iter().map(|t| view.datasets[t.1].as_str()).collect::<Vec<_>>()),
            Column::new("seed".into(), tidy.iter().map(|t| t.2).collect::<Vec<_>>()),
            Column::new("measure".into(), tidy.iter().map(|t| t.3).collect::<Vec<_>>()),
            Column::new("value".into(), tidy.iter().map(|t| t.4).collect::<Vec<_>>()),
        ],
    )?;
    let device = &view.input.provenance.device;
    let on = if device.is_empty() { String::new() } else { format!(" On {device}.") };
    let notes = vec![format!("Per run, {}; a stage shared by several runs counts in each.{on}", view.spread())];
    Ok(Some(Table {
        stem: "cost",
        title: "Cost".into(),
        columns: headings(known.iter().map(|m| m.0)),
        rows,
        notes,
        data,
    }))
}

fn positive(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}
