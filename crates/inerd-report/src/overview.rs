//! All experiments at a glance: `reports/index.html`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::answer::Answer;
use crate::escape::xml;
use crate::page::document;
use crate::view::View;

/// Version of the record; a change of its fields raises it.
const FORMAT: u32 = 1;
/// The record that every report leaves for the overview.
pub(crate) const RECORD: &str = "report.json";

/// What the overview says about one experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    format: u32,
    experiment: String,
    question: String,
    verdict: String,
    reason: String,
    arms: usize,
    datasets: Vec<String>,
    seeds: usize,
    done: usize,
    cells: usize,
    commit: String,
}

impl Summary {
    pub(crate) fn new(view: &View<'_>, answer: &Answer) -> Self {
        let experiment = &view.input.experiment;
        Self {
            format: FORMAT,
            experiment: experiment.name.clone(),
            question: experiment.question.clone(),
            verdict: answer.verdict.to_string(),
            reason: answer.reason.clone(),
            arms: view.rows.len(),
            datasets: view.datasets.clone(),
            seeds: experiment.seeds.len(),
            done: view.input.cells.iter().filter(|c| c.scores.is_some()).count(),
            cells: view.input.cells.len(),
            commit: view.input.provenance.commit.clone(),
        }
    }

    pub(crate) fn json(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let record = |source| Error::Record { path: path.to_owned(), source };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(record)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Writes `folder/index.html` from the reports in the folders beneath it, and returns its path.
///
/// A folder without a report is passed over; a record that cannot be read is an error, so that nothing is left out
/// silently.
pub fn write_overview(folder: &Path) -> Result<PathBuf, Error> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source });
    let listing = std::fs::read_dir(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let mut folders: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let mut rows = String::new();
    for folder in folders {
        let path = folder.join(RECORD);
        if !path.is_file() {
            continue;
        }
        let summary: Summary =
            serde_json::from_slice(&read(&path)?).map_err(|source| Error::Sidecar { path: path.clone(), source })?;
        if summary.format != FORMAT {
            return Err(Error::Format { path, found: summary.format, known: FORMAT });
        }
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        rows += &row(&summary, &name);
    }
    if rows.is_empty() {
        rows.push_str("<tr><td colspan=\"7\">No report yet.</td></tr>\n");
    }
    let body = format!(
        "<header><h1>Experiments</h1></header>\n<main>\n<div class=\"scroll\"><table class=\"overview\">\n<thead><tr>\
         <th scope=\"col\">Experiment</th><th scope=\"col\">Question</th><th scope=\"col\">Answer</th>\
         <th scope=\"col\" class=\"number\">Arms</th><th scope=\"col\">Datasets</th>\
         <th scope=\"col\" class=\"number\">Cells</th><th scope=\"col\">Commit</th></tr></thead>\n<tbody>\n{rows}\
         </tbody></table></div>\n</main>\n"
    );
    let path = folder.join("index.html");
    let written = std::fs::write(&path, document("Experiments", &body));
    written.map_err(|source| Error::Write { path: path.clone(), source })?;
    Ok(path)
}

fn row(summary: &Summary, folder: &str) -> String {
    // A folder's name in an address: everything but unreserved signs is percent-encoded.
    let address: String = (folder.bytes())
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    format!(
        "<tr><th scope=\"row\"><a href=\"{address}/index.html\">{}</a></th><td>{}</td><td title=\"{}\">{}</td>\
         <td class=\"number\">{}</td><td>{}</td><td class=\"number\">{}/{}</td><td><code>{}</code></td></tr>\n",
        xml(&summary.experiment),
        xml(&summary.question),
        xml(&summary.reason),
        xml(&summary.verdict),
        summary.arms,
        xml(&summary.datasets.join(", ")),
        summary.done,
        summary.cells,
        xml(&summary.commit),
    )
}
