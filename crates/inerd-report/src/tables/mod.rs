//! Tables: one model, rendered as Markdown, LaTeX and HTML; the numbers behind it as CSV and Parquet.

mod contrasts;
mod hallucination;
mod html;
mod latex;
mod main;
mod markdown;
mod mask_effect;
mod measures;
mod per_type;

use polars::prelude::DataFrame;

use crate::Error;
use crate::contrast::Contrast;
use crate::view::View;

#[derive(Debug)]
pub(crate) struct Table {
    /// File name without extension.
    pub(crate) stem: &'static str,
    pub(crate) title: String,
    pub(crate) columns: Vec<Heading>,
    pub(crate) rows: Vec<Vec<Entry>>,
    /// Under the table, a sentence each.
    pub(crate) notes: Vec<String>,
    /// The unrounded numbers, one observation per line.
    pub(crate) data: DataFrame,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heading {
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Words,
    /// Aligned at the decimal point.
    Numbers,
}

/// One entry of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entry {
    /// The text as printed: a number with what follows it ("61.0 ± 1.0") or words ("2/5 seeds").
    pub(crate) text: String,
    /// What to sort by; entries without one come last.
    pub(crate) value: Option<f64>,
    pub(crate) rank: Rank,
    /// A significance mark or a reference to a note, set as a superscript.
    pub(crate) mark: String,
    /// Why the entry is incomplete.
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Set in bold.
    Best,
    /// Underlined.
    Second,
    #[default]
    Other,
}

impl Heading {
    pub(crate) fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Words }
    }

    pub(crate) fn numbers(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Numbers }
    }
}

impl Entry {
    pub(crate) fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(crate) fn number(value: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), value: Some(value), ..Self::default() }
    }

    /// Nothing to say here.
    pub(crate) fn empty() -> Self {
        Self::words("–")
    }
}

impl Table {
    pub(crate) fn markdown(&self) -> String {
        markdown::render(self)
    }

    pub(crate) fn html(&self) -> String {
        html::render(self)
    }

    pub(crate) fn latex(&self) -> String {
        latex::render(self)
    }
}

/// Every table that the input has data for.
pub(crate) fn all(view: &View<'_>, contrasts: &[Contrast]) -> Result<Vec<Table>, Error> {
    let mut tables = vec![main::table(view, contrasts)?];
    tables.extend(contrasts::table(view, contrasts)?);
    tables.extend(per_type::table(view)?);
    tables.extend(hallucination::table(view)?);
    tables.extend(mask_effect::table(view)?);
    tables.extend(hallucination::by_rules(view)?);
    tables.extend(measures::errors(view)?);
    tables.extend(measures::slices(view)?);
    tables.extend(measures::conventions(view)?);
    tables.extend(measures::masks(view)?);
    tables.extend(measures::cost(view)?);
    Ok(tables)
}
