//! Reports: tables and figures that go into a paper as they are, and a page to browse them.
//!
//! A report is a pure function of [`ReportInput`]: the same input gives the same bytes on every machine. Nothing here
//! trains, decodes or looks at a clock.

mod answer;
mod contrast;
mod draw;
mod error;
mod escape;
mod explain;
mod figures;
mod frame;
mod input;
mod outcome;
mod overview;
mod page;
mod predictions;
mod sidecar;
mod tables;
mod view;

use std::path::{Path, PathBuf};

pub use error::Error;
pub use explain::{Explanation, explain};
pub use figures::{CountMatrix, LengthCurves};
pub use input::{
    Cell, Cost, CurvePoint, Experiment, Facts, GoldSet, Provenance, ReportInput, RuleAudit, StageRun, Status,
};
pub use overview::write_overview;
pub use predictions::{Annotated, predictions_json_lines, predictions_page, predictions_terminal};

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Embed the sentences of datasets whose licence does not let them be published. Right on a reader's own machine,
    /// wrong for anything that is handed on.
    pub with_text: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { with_text: true }
    }
}

/// Writes tables, figures and the summary into `folder`, which is created, and returns the paths written, in order;
/// `report.md` is the first.
pub fn write_report(input: &ReportInput, folder: &Path, options: Options) -> Result<Vec<PathBuf>, Error> {
    let view = view::View::new(input)?;
    let contrasts = contrast::contrasts(&view);
    let tables = tables::all(&view, &contrasts)?;
    let figures = figures::all(&view, &contrasts)?;
    let answer = answer::answer(&view, &contrasts);
    create(folder)?;

    let mut written = vec![write(folder.join("report.md"), summary(&view, &answer, &tables, &figures).as_bytes())?];
    let page = page::render(&view, &answer, &tables, &figures, options.with_text)?;
    written.push(write(folder.join("index.html"), page.as_bytes())?);
    let record = folder.join(overview::RECORD);
    let bytes = overview::Summary::new(&view, &answer).json(&record)?;
    written.push(write(record, &bytes)?);
    let runs = folder.join(sidecar::RUNS);
    let bytes = sidecar::Runs::of(&view).json(&runs)?;
    written.push(write(runs, &bytes)?);
    for table in &tables {
        let path = |extension: &str| folder.join(format!("{}.{extension}", table.stem));
        written.push(write(path("md"), table.markdown().as_bytes())?);
        written.push(write(path("tex"), table.latex().as_bytes())?);
        written.push(write(path("csv"), &frame::csv(table.stem, &table.data)?)?);
        written.push(frame::write_parquet(&path("parquet"), &table.data)?);
    }
    for figure in &figures {
        for column in figures::Column::ALL {
            let scene = (figure.draw)(column)?;
            let path = |extension: &str| folder.join(format!("{}{}.{extension}", figure.stem, column.suffix()));
            written.push(write(path("svg"), draw::svg::render(&scene).as_bytes())?);
            written.push(write(path("pdf"), &draw::pdf::render(&scene))?);
            written.push(write(path("png"), &draw::png::render(&scene)?)?);
        }
        let path = |extension: &str| folder.join(format!("{}.{extension}", figure.stem));
        written.push(write(path("csv"), &frame::csv(&figure.stem, &figure.data)?)?);
        written.push(frame::write_parquet(&path("parquet"), &figure.data)?);
        written.push(write(path("json"), &sidecar::render(&view, figure, &path("json"))?)?);
    }
    Ok(written)
}

/// The report as Markdown: the question, every table, every figure.
fn summary(
    view: &view::View<'_>,
    answer: &answer::Answer,
    tables: &[tables::Table],
    figures: &[figures::Figure<'_>],
) -> String {
    let experiment = &view.input.experiment;
    let mut out = format!("# {}\n\n", escape::markdown(&experiment.name));
    if !experiment.question.is_empty() {
        out += &format!("**Question.** {}\n\n", escape::markdown(&experiment.question));
    }
    out += &format!("**{}.** {}\n\n", answer.verdict, escape::markdown(&answer.reason));
    for table in tables {
        out += &format!("{}\n", table.markdown());
    }
    for figure in figures {
        let (title, caption) = (escape::markdown(&figure.title), escape::markdown(&figure.caption));
        out += &format!("## {title}\n\n![{title}]({}.svg)\n\n{caption}\n\n", figure.stem);
    }
    out
}

fn create(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<PathBuf, Error> {
    match std::fs::write(&path, bytes) {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::Write { path, source }),
    }
}
