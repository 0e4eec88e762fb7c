//! From a point of a figure back to the runs behind it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::Error;
use crate::figures::Column;
use crate::sidecar::{FORMAT, RUNS, Runs, Sidecar};

/// The chain from a point to runs, configurations, commit and data. `Display` prints it.
#[derive(Debug, Clone)]
pub struct Explanation {
    id: String,
    record: Sidecar,
    /// Empty where the figure was taken out of its report.
    runs: Runs,
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
    if !record.points.contains_key(id) {
        let nearest = nearest(id, record.points.keys());
        return Err(Error::UnknownPoint { id: id.to_owned(), path, nearest });
    }
    let runs = path.with_file_name(RUNS);
    let runs = if runs.is_file() { read(&runs)? } else { Runs::default() };
    Ok(Explanation { id: id.to_owned(), record, runs })
}

/// `loss-wide.svg` → `loss.json`: both widths share one record.
fn record_path(figure: &Path) -> PathBuf {
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
        let Self { id, record, runs } = self;
        let Some(point) = record.points.get(id) else { return Ok(()) };
        let dirty = if record.dirty { " with uncommitted changes" } else { "" };
        writeln!(f, "{id}")?;
        writeln!(f, "  shows       {}", point.label)?;
        writeln!(f, "  figure      {} ({})", record.figure, record.title)?;
        writeln!(f, "  experiment  {}", record.experiment)?;
        writeln!(f, "  made by     {} (version {}, commit {}{dirty})", record.command, record.version, record.commit)?;
        for cell in point.cells.iter().filter_map(|i| record.cells.get(*i)) {
            let axes: String = cell.axes.iter().map(|(k, v)| format!(", {k} = {v}")).collect();
            writeln!(f, "\n  {} on {}, seed {}{axes}", cell.arm, cell.dataset, cell.seed)?;
            for stage in &cell.stages {
                writeln!(f, "    {:<12}run {}", stage.stage, stage.run)?;
                writeln!(f, "    {:<12}fingerprint {}", "", stage.fingerprint)?;
                if let Some(configuration) = runs.configurations.get(&stage.fingerprint) {
                    writeln!(f, "    {:<12}configuration {configuration}", "")?;
                }
            }
            writeln!(f, "    {:<12}{}", "commit", cell.commit)?;
            writeln!(f, "    {:<12}{}", "data", cell.data_hash)?;
        }
        Ok(())
    }
}
