//! The input, grouped as tables and figures need it: rows (an arm at a setting) × datasets × seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use inerd_metrics::{Convention, Prf, statistics};

use crate::Error;
use crate::input::{Cell, ReportInput, Status};

/// An arm at one setting of its axes: a row of the tables, a series of the figures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) arm: String,
    pub(crate) axes: BTreeMap<String, String>,
    /// The arm and those axes that tell it from the arm's other rows.
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) input: &'a ReportInput,
    /// By which the experiment is decided.
    pub(crate) metric: Metric,
    /// In the order in which the experiment declares them.
    pub(crate) rows: Vec<Row>,
    pub(crate) datasets: Vec<String>,
    groups: BTreeMap<(usize, usize), Vec<&'a Cell>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(input: &'a ReportInput) -> Result<Self, Error> {
        let metric = input.experiment.metric.parse()?;
        let mut keys: Vec<(&str, &BTreeMap<String, String>)> = Vec::new();
        let mut datasets: Vec<String> = Vec::new();
        for cell in &input.cells {
            if !keys.contains(&(&cell.arm, &cell.axes)) {
                keys.push((&cell.arm, &cell.axes));
            }
            if !datasets.contains(&cell.dataset) {
                datasets.push(cell.dataset.clone());
            }
        }
        let rows: Vec<Row> = (keys.iter())
            .map(|&(arm, axes)| {
                let same_arm: Vec<_> = keys.iter().filter(|(a, _)| *a == arm).map(|(_, axes)| *axes).collect();
                Row { arm: arm.to_owned(), axes: axes.clone(), name: row_name(arm, axes, &same_arm) }
            })
            .collect();
        let mut groups: BTreeMap<(usize, usize), Vec<&Cell>> = BTreeMap::new();
        for cell in &input.cells {
            let row = keys.iter().position(|&key| key == (cell.arm.as_str(), &cell.axes));
            let dataset = datasets.iter().position(|d| *d == cell.dataset);
            if let (Some(row), Some(dataset)) = (row, dataset) {
                groups.entry((row, dataset)).or_default().push(cell);
            }
        }
        for cells in groups.values_mut() {
            cells.sort_by_key(|cell| cell.seed);
        }
        Ok(Self { input, metric, rows, datasets, groups })
    }

    /// The cells of a row on a dataset, by seed.
    pub(crate) fn cells(&self, row: usize, dataset: usize) -> &[&'a Cell] {
        self.groups.get(&(row, dataset)).map_or(&[], Vec::as_slice)
    }

    /// Every (row, dataset) that the experiment has, rows first.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (usize, usize, &[&'a Cell])> {
        self.groups.iter().map(|(&(row, dataset), cells)| (row, dataset, cells.as_slice()))
    }

    /// The primary metric in points, 0 to 100.
    pub(crate) fn value(&self, cell: &Cell) -> Option<f64> {
        let scores = cell.scores.as_ref()?.scores.get(&self.metric.convention)?;
        Some(100.0 * self.metric.kind.of(&scores.micro.prf))
    }

    pub(crate) fn summary(&self, row: usize, dataset: usize) -> Summary {
        self.summarise(self.cells(row, dataset), |cell| self.value(cell))
    }

    /// Mean and deviation of any number that cells have.
    pub(crate) fn summarise(&self, cells: &[&Cell], value: impl Fn(&Cell) -> Option<f64>) -> Summary {
        let values: Vec<(u64, f64)> = cells.iter().filter_map(|c| value(c).map(|v| (c.seed, v))).collect();
        let mut missing: BTreeMap<u64, String> = BTreeMap::new();
        for cell in cells.iter().filter(|c| value(c).is_none()) {
            let reason = match &cell.status {
                Status::Missing { reason } => reason.clone(),
                Status::Done => "not scored".to_owned(),
            };
            missing.insert(cell.seed, reason);
        }
        let present: BTreeSet<u64> = cells.iter().map(|c| c.seed).collect();
        // Where the experiment has no cell at all, none is missing: the arm is not meant for the dataset.
        if !cells.is_empty() {
            for seed in self.input.experiment.seeds.iter().filter(|s| !present.contains(s)) {
                missing.insert(*seed, "not planned".to_owned());
            }
        }
        let numbers: Vec<f64> = values.iter().map(|(_, v)| *v).collect();
        let found = statistics::Summary::new(&numbers);
        let (mean, deviation) = (found.as_ref().map(|s| s.mean), found.and_then(|s| s.deviation));
        Summary { expected: values.len() + missing.len(), values, missing, mean, deviation }
    }

    /// What figures of tables are: "mean ± sample deviation over seeds", as far as that is so.
    pub(crate) fn spread(&self) -> &'static str {
        match self.input.experiment.seeds.len() {
            0 | 1 => "one seed",
            2 => "mean over two seeds (no deviation below three)",
            _ => "mean ± sample deviation over seeds",
        }
    }

    /// Rows in groups for one picture each. Up to `most` rows are one group without a name; more are split by the values
    /// of the axes that all rows have ("rules exact"), where there are such axes.
    pub(crate) fn row_groups(&self, most: usize) -> Vec<(String, Vec<usize>)> {
        let all: Vec<usize> = (0..self.rows.len()).collect();
        if all.len() <= most {
            return vec![(String::new(), all)];
        }
        let everywhere = |axis: &&String| self.rows.iter().all(|r| r.axes.contains_key(*axis));
        let differs = |axis: &&String| self.rows.iter().any(|r| r.axes.get(*axis) != self.rows[0].axes.get(*axis));
        let shared: Vec<&String> = self.rows[0].axes.keys().filter(everywhere).filter(differs).collect();
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let name = shared.iter().map(|axis| axis_value(axis, &row.axes[*axis])).collect::<Vec<_>>().join(", ");
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, rows)) => rows.push(index),
                None => groups.push((name, vec![index])),
            }
        }
        groups
    }

    /// Lines along something that cells differ in, such as the size of what they were trained on; cells for which
    /// `along` has nothing are left out. The cells of a line agree on all axes but those that say how far along they are.
    /// A line has one dataset, or all of them (`across`).
    pub(crate) fn lines<K: Ord>(&self, along: impl Fn(&Cell) -> Option<K>, across: bool) -> Vec<Line<'a>> {
        let mut places: Vec<(&'a Cell, K)> = Vec::new();
        for cell in self.groups().flat_map(|(_, _, cells)| cells.iter().copied()) {
            places.extend(along(cell).map(|at| (cell, at)));
        }
        let axes: BTreeSet<&str> = places.iter().flat_map(|(c, _)| c.axes.keys().map(String::as_str)).collect();
        // An axis that the place hangs on: moving along it alone moves the place, or the place gives its value away.
        let moves = |axis: &str| {
            let mut found: BTreeMap<_, BTreeSet<&K>> = BTreeMap::new();
            for (cell, at) in &places {
                let others: Vec<_> = cell.axes.iter().filter(|(key, _)| *key != axis).collect();
                found.entry((&cell.arm, &cell.dataset, cell.seed, others)).or_default().insert(at);
            }
            found.values().any(|places| places.len() > 1)
        };
        let given_away = |axis: &str| {
            let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
            for (cell, at) in &places {
                found.entry((&cell.arm, &cell.dataset, at)).or_default().insert(cell.axes.get(axis));
            }
            found.values().all(|values| values.len() == 1)
        };
        let along_axes: BTreeSet<&str> = axes.into_iter().filter(|axis| moves(axis) || given_away(axis)).collect();

        let mut lines: Vec<Line<'a>> = Vec::new();
        for (cell, _) in places {
            let axes: BTreeMap<String, String> = cell
                .axes
                .iter()
                .filter(|(key, _)| !along_axes.contains(key.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            let dataset = Some(cell.dataset.as_str()).filter(|_| !across);
            let known = lines.iter_mut().find(|l| l.arm == cell.arm && l.axes == axes && l.dataset == dataset);
            match known {
                Some(line) => line.cells.push(cell),
                None => lines.push(Line { arm: &cell.arm, axes, dataset, name: String::new(), cells: vec![cell] }),
            }
        }
        let several = self.datasets.len() > 1;
        let names: Vec<String> = (lines.iter())
            .map(|line| {
                let same_arm: Vec<_> = lines.iter().filter(|l| l.arm == line.arm).map(|l| &l.axes).collect();
                let name = row_name(line.arm, &line.axes, &same_arm);
                line.dataset.filter(|_| several).map_or(name.clone(), |dataset| format!("{name}, {dataset}"))
            })
            .collect();
        for (line, name) in lines.iter_mut().zip(names) {
            line.name = name;
        }
        lines
    }

    /// The types of the experiment's datasets: what else a model writes as a type it has invented.
    pub(crate) fn known_types(&self) -> BTreeSet<&'a str> {
        let gold = || self.input.gold.iter();
        let of_gold = gold().flat_map(|g| &g.sentences).flat_map(|s| &s.entities).map(|e| e.kind.as_str());
        gold().flat_map(|g| &g.types).map(String::as_str).chain(of_gold).collect()
    }

    /// The signature of the primary metric; of all of them where cells disagree.
    pub(crate) fn signature(&self) -> String {
        let scores = self.input.cells.iter().filter_map(|c| c.scores.as_ref()?.scores.get(&self.metric.convention));
        let signatures: BTreeSet<&str> = scores.map(|s| s.signature.as_str()).collect();
        signatures.into_iter().collect::<Vec<_>>().join(" and ")
    }
}

/// Cells that differ only in how far along they are ([`View::lines`]).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line<'a> {
    pub(crate) arm: &'a str,
    /// Those that the cells agree on.
    pub(crate) axes: BTreeMap<String, String>,
    /// `None` where the line runs across datasets.
    pub(crate) dataset: Option<&'a str>,
    /// What tells it from the other lines.
    pub(crate) name: String,
    pub(crate) cells: Vec<&'a Cell>,
}

/// `f1.span`: a kind and a convention. Micro-averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) kind: MetricKind,
    pub(crate) convention: Convention,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricKind {
    F1,
    Precision,
    Recall,
}

impl MetricKind {
    pub(crate) fn of(self, prf: &Prf) -> f64 {
        match self {
            Self::F1 => prf.f1,
            Self::Precision => prf.precision,
            Self::Recall => prf.recall,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F1 => "F1",
            Self::Precision => "Precision",
            Self::Recall => "Recall",
        }
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, convention) = text.split_once('.').unwrap_or((text, "span"));
        let kind = match kind {
            "f1" => MetricKind::F1,
            "precision" => MetricKind::Precision,
            "recall" => MetricKind::Recall,
            _ => return Err(Error::Metric { metric: text.to_owned() }),
        };
        Ok(Self { kind, convention: convention.parse()? })
    }
}

/// "rules exact" for `generate.rules`.
fn axis_value(axis: &str, value: &str) -> String {
    format!("{} {value}", axis.rsplit('.').next().unwrap_or(axis))
}

/// The arm's name with the axes in which it differs from the arm's other settings: `merged (size 100)`.
pub(crate) fn row_name(arm: &str, axes: &BTreeMap<String, String>, same_arm: &[&BTreeMap<String, String>]) -> String {
    let telling: Vec<String> = (axes.iter())
        .filter(|(axis, value)| same_arm.iter().any(|other| other.get(*axis) != Some(*value)))
        .map(|(axis, value)| axis_value(axis, value))
        .collect();
    if telling.is_empty() { arm.to_owned() } else { format!("{arm} ({})", telling.join(", ")) }
}

/// "seeds 1, 3: out of memory; seed 2: not run yet".
pub(crate) fn reasons(missing: &BTreeMap<u64, String>) -> String {
    let mut seeds: Vec<(&str, Vec<String>)> = Vec::new();
    for (seed, why) in missing {
        match seeds.iter_mut().find(|(known, _)| known == why) {
            Some((_, seeds)) => seeds.push(seed.to_string()),
            None => seeds.push((why, vec![seed.to_string()])),
        }
    }
    let said = seeds
        .iter()
        .map(|(why, seeds)| format!("seed{} {}: {why}", if seeds.len() == 1 { "" } else { "s" }, seeds.join(", ")));
    said.collect::<Vec<_>>().join("; ")
}

/// What is known about one row on one dataset. Nothing is averaged over what isn't there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    /// (seed, value), by seed.
    pub(crate) values: Vec<(u64, f64)>,
    /// Seed → why it has no value.
    pub(crate) missing: BTreeMap<u64, String>,
    pub(crate) expected: usize,
    pub(crate) mean: Option<f64>,
    /// Sample deviation; `None` below three seeds, where it means nothing.
    pub(crate) deviation: Option<f64>,
}

impl Summary {
    pub(crate) fn n(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn complete(&self) -> bool {
        self.missing.is_empty() && !self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_named_by_what_tells_it_apart() {
        let axes = |size: &str| BTreeMap::from([("coarse.size".into(), size.into()), ("lr".into(), "1e-4".into())]);
        let (small, large) = (axes("100"), axes("1000"));
        assert_eq!(row_name("merged", &small, &[&small, &large]), "merged (size 100)");
        assert_eq!(row_name("merged", &small, &[&small]), "merged");
    }
}
