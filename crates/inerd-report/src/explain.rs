//! From a point of a figure back to the runs behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::figures::Column;
use crate::sidecar::{CellRecord, FORMAT, RUNS, Runs, Sidecar};

/// The chain from a point to runs, configurations, commit and data. `Display` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    id: String,
    shows: String,
    figure: String,
    title: String,
    experiment: String,
    command: String,
    version: String,
    commit: String,
    /// The program had uncommitted changes.
    dirty: bool,
    cells: Vec<CellRecord>,
    /// Fingerprint → resolved configuration of the cells' stages; empty where the figure was taken out of its report.
    configurations: BTreeMap<String, String>,
}

/// Follows `FIGURE.svg#ID` (any of the figure's files will do) through the record beside the figure.
pub fn explain(reference: &str) -> Result<Explanation, Error> {
    let Some((file, id)) = reference.rsplit_once('#').filter(|(file, id)| !file.is_empty() && !id.is_empty()) else {
        let file = reference.trim_end_matches('#');
        let example = format!("{}#comparison--arm--dataset", if file.is_empty() { "comparison.svg" } else { file });
        return Err(Error::Reference { given: reference.to_owned(), example });
    };
    let path = record_path(Path::new(file));
    let record: Sidecar = read(&path)?;
    let Some(point) = record.points.get(id) else {
        let nearest = nearest(id, record.points.keys());
        return Err(Error::UnknownPoint { id: id.to_owned(), path, nearest });
    };
    let runs = path.with_file_name(RUNS);
    let runs = if runs.is_file() { read(&runs)? } else { Runs::default() };
    let cells: Vec<CellRecord> = point.cells.iter().filter_map(|i| record.cells.get(*i)).cloned().collect();
    let stages = cells.iter().flat_map(|c| &c.stages);
    let configurations = stages
        .filter_map(|s| Some((s.fingerprint.clone(), runs.configurations.get(&s.fingerprint)?.clone())))
        .collect();
    Ok(Explanation {
        id: id.to_owned(),
        shows: point.label.clone(),
        figure: record.figure,
        title: record.title,
        experiment: record.experiment,
        command: record.command,
        version: record.version,
        commit: record.commit,
        dirty: record.dirty,
        cells,
        configurations,
    })
}

/// `loss-wide.svg` → `loss.json`: both widths share one record.
fn record_path(figure: &Path) -> PathBuf {
    let own = figure.with_extension("json");
    if own.is_file() {
        return own;
    }
    let stem = figure.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.strip_suffix(Column::Two.suffix()).unwrap_or(&stem);
    figure.with_file_name(format!("{stem}.json"))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        format: u32,
    }
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let foreign = |source| Error::Sidecar { path: path.to_owned(), source };
    let Versioned { format } = serde_json::from_slice(&bytes).map_err(foreign)?;
    if format != FORMAT {
        return Err(Error::Format { path: path.to_owned(), found: format, known: FORMAT });
    }
    serde_json::from_slice(&bytes).map_err(foreign)
}

/// "; the nearest is `…`", or nothing where no name begins alike.
fn nearest<'a>(id: &str, known: impl Iterator<Item = &'a String>) -> String {
    let common = |other: &str| id.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let best = known.map(|k| (common(k), k)).max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1)));
    best.filter(|(n, _)| *n > 0).map(|(_, k)| format!("; the nearest is `{k}`")).unwrap_or_default()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, shows, figure, title, experiment, command, version, commit, .. } = self;
        let dirty = if self.dirty { " with uncommitted changes" } else { "" };
        writeln!(f, "{id}")?;
        writeln!(f, "  shows       {shows}")?;
        writeln!(f, "  figure      {figure} ({title})")?;
        writeln!(f, "  experiment  {experiment}")?;
        writeln!(f, "  made by     {command} (version {version}, commit {commit}{dirty})")?;
        for cell in &self.cells {
            let axes: String = cell.axes.iter().map(|(k, v)| format!(", {k} = {v}")).collect();
            writeln!(f, "\n  {} on {}, seed {}{axes}", cell.arm, cell.dataset, cell.seed)?;
            for stage in &cell.stages {
                writeln!(f, "    {:<12}run {}", stage.stage, stage.run)?;
                writeln!(f, "    {:<12}fingerprint {}", "", stage.fingerprint)?;
                if let Some(configuration) = self.configurations.get(&stage.fingerprint) {
                    writeln!(f, "    {:<12}configuration {configuration}", "")?;
                }
            }
            writeln!(f, "    {:<12}{}", "commit", cell.commit)?;
            writeln!(f, "    {:<12}{}", "data", cell.data_hash)?;
        }
        Ok(())
    }
}
