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
/// A folder without a report is passed over. A record that cannot be read stands there with the reason, so that nothing
/// is left out silently and one old report doesn't keep a new one from being listed.
pub fn write_overview(folder: &Path) -> Result<PathBuf, Error> {
    let listing = std::fs::read_dir(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let mut folders: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let mut rows = String::new();
    for report in folders.into_iter().filter(|f| f.join(RECORD).is_file()) {
        let name = report.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        rows += &match read(&report.join(RECORD)) {
            Ok(summary) => row(&summary, &name),
            Err(error) => unreadable(&error, &name),
        };
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

fn read(path: &Path) -> Result<Summary, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let summary: Summary =
        serde_json::from_slice(&bytes).map_err(|source| Error::Sidecar { path: path.to_owned(), source })?;
    if summary.format != FORMAT {
        return Err(Error::Format { path: path.to_owned(), found: summary.format, known: FORMAT });
    }
    Ok(summary)
}

/// A folder's name in an address: everything but unreserved signs is percent-encoded.
fn address(folder: &str) -> String {
    let encoded = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    folder.bytes().map(encoded).collect()
}

fn unreadable(error: &Error, folder: &str) -> String {
    format!(
        "<tr><th scope=\"row\"><a href=\"{}/index.html\">{}</a></th><td colspan=\"6\">failed to {}</td></tr>\n",
        address(folder),
        xml(folder),
        xml(&error.to_string())
    )
}

fn row(summary: &Summary, folder: &str) -> String {
    format!(
        "<tr><th scope=\"row\"><a href=\"{}/index.html\">{}</a></th><td>{}</td><td title=\"{}\">{}</td>\
         <td class=\"number\">{}</td><td>{}</td><td class=\"number\">{}/{}</td><td><code>{}</code></td></tr>\n",
        address(folder),
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
