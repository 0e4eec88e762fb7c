//! The record beside a figure: which runs stand behind it, and behind every point of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::figures::Figure;
use crate::input::{Cell, StageRun};
use crate::view::View;

/// Version of the record; a change of its fields raises it.
pub(crate) const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    pub(crate) format: u32,
    pub(crate) figure: String,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) experiment: String,
    pub(crate) commit: String,
    pub(crate) dirty: bool,
    pub(crate) version: String,
    pub(crate) command: String,
    /// Dataset or weights → hash.
    pub(crate) hashes: BTreeMap<String, String>,
    /// Every cell that a point refers to.
    pub(crate) cells: Vec<CellRecord>,
    /// Name in the SVG → what stands behind it.
    pub(crate) points: BTreeMap<String, PointRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CellRecord {
    pub(crate) arm: String,
    pub(crate) axes: BTreeMap<String, String>,
    pub(crate) dataset: String,
    pub(crate) seed: u64,
    pub(crate) commit: String,
    pub(crate) data_hash: String,
    pub(crate) stages: Vec<RunRecord>,
}

/// A stage's run. Its configuration is in [`Runs`], once for all figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) stage: String,
    pub(crate) run: String,
    pub(crate) fingerprint: String,
}

impl From<&StageRun> for RunRecord {
    fn from(stage: &StageRun) -> Self {
        Self { stage: stage.stage.clone(), run: stage.run.clone(), fingerprint: stage.fingerprint.clone() }
    }
}

/// The configurations of a report's runs, in [`RUNS`] beside its figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Runs {
    pub(crate) format: u32,
    /// Fingerprint → resolved configuration.
    pub(crate) configurations: BTreeMap<String, String>,
}

pub(crate) const RUNS: &str = "runs.json";

impl Runs {
    pub(crate) fn of(view: &View<'_>) -> Self {
        let stages = view.input.cells.iter().flat_map(|c| &c.stages).filter(|s| !s.configuration.is_empty());
        let configurations = stages.map(|s| (s.fingerprint.clone(), s.configuration.clone())).collect();
        Self { format: FORMAT, configurations }
    }

    pub(crate) fn json(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let record = |source| Error::Record { path: path.to_owned(), source };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(record)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PointRecord {
    pub(crate) label: String,
    /// Positions in [`Sidecar::cells`].
    pub(crate) cells: Vec<usize>,
}

impl From<&Cell> for CellRecord {
    fn from(cell: &Cell) -> Self {
        Self {
            arm: cell.arm.clone(),
            axes: cell.axes.clone(),
            dataset: cell.dataset.clone(),
            seed: cell.seed,
            commit: cell.commit.clone(),
            data_hash: cell.data_hash.clone(),
            stages: cell.stages.iter().map(RunRecord::from).collect(),
        }
    }
}

pub(crate) fn render(view: &View<'_>, figure: &Figure<'_>, path: &Path) -> Result<Vec<u8>, Error> {
    let mut cells: Vec<&Cell> = Vec::new();
    let mut points = BTreeMap::new();
    for (id, origin) in &figure.points {
        let positions = (origin.cells.iter())
            .map(|cell| {
                cells.iter().position(|known| std::ptr::eq(*known, *cell)).unwrap_or_else(|| {
                    cells.push(cell);
                    cells.len() - 1
                })
            })
            .collect();
        points.insert(id.clone(), PointRecord { label: origin.label.clone(), cells: positions });
    }
    let provenance = &view.input.provenance;
    let sidecar = Sidecar {
        format: FORMAT,
        figure: figure.stem.clone(),
        title: figure.title.clone(),
        caption: figure.caption.clone(),
        experiment: view.input.experiment.name.clone(),
        commit: provenance.commit.clone(),
        dirty: provenance.dirty,
        version: provenance.version.clone(),
        command: provenance.command.clone(),
        hashes: provenance.hashes.clone(),
        cells: cells.into_iter().map(CellRecord::from).collect(),
        points,
    };
    let mut bytes =
        serde_json::to_vec_pretty(&sidecar).map_err(|source| Error::Record { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    Ok(bytes)
}
