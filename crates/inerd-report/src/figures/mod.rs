//! Figures: each kind selects its data, names its points and draws itself at a given width.

mod calibration;
mod chart;
mod comparison;
mod confusion;
mod datasets;
mod fit;
mod forest;
mod heat;
mod left_out;
mod loss;
mod plane;
mod relation;

use std::collections::BTreeMap;

use polars::prelude::DataFrame;

pub(crate) use chart::Column;
pub use datasets::{CountMatrix, LengthCurves};

use crate::Error;
use crate::contrast::Contrast;
use crate::draw::scene::Scene;
use crate::draw::style::Tag;
use crate::escape::slug;
use crate::input::Cell;
use crate::view::View;

/// A figure ready to be drawn.
pub(crate) struct Figure<'a> {
    /// File name without extension.
    pub(crate) stem: String,
    pub(crate) title: String,
    /// One paragraph: what is shown, what bands and whiskers mean.
    pub(crate) caption: String,
    /// One observation per line.
    pub(crate) data: DataFrame,
    /// The points' names in the SVG → what stands behind them.
    pub(crate) points: BTreeMap<String, Origin<'a>>,
    pub(crate) draw: Box<dyn Fn(Column) -> Result<Scene, Error> + 'a>,
}

/// Where a point comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin<'a> {
    pub(crate) label: String,
    pub(crate) cells: Vec<&'a Cell>,
}

/// Names the points of one figure.
#[derive(Debug)]
pub(crate) struct Points<'a> {
    stem: String,
    origins: BTreeMap<String, Origin<'a>>,
}

impl<'a> Points<'a> {
    pub(crate) fn new(stem: &str) -> Self {
        Self { stem: stem.to_owned(), origins: BTreeMap::new() }
    }

    /// A name that is unique in the figure and the same whenever the report is made again.
    pub(crate) fn name(&mut self, parts: &[&str], label: String, cells: Vec<&'a Cell>) -> Tag {
        let parts: Vec<String> = parts.iter().map(|p| slug(p)).collect();
        let base = format!("{}--{}", self.stem, parts.join("--"));
        let mut id = base.clone();
        let mut number = 2;
        while self.origins.contains_key(&id) {
            id = format!("{base}-{number}");
            number += 1;
        }
        self.origins.insert(id.clone(), Origin { label: label.clone(), cells });
        Tag { id, title: label }
    }

    pub(crate) fn into_origins(self) -> BTreeMap<String, Origin<'a>> {
        self.origins
    }
}

/// Every figure that the input has data for.
pub(crate) fn all<'a>(view: &'a View<'a>, contrasts: &'a [Contrast]) -> Result<Vec<Figure<'a>>, Error> {
    let mut figures = Vec::new();
    figures.extend(comparison::figure(view)?);
    figures.extend(forest::figure(view, contrasts)?);
    figures.extend(relation::figures(view)?);
    figures.extend(plane::figure(view)?);
    figures.extend(left_out::figure(view)?);
    figures.extend(confusion::figures(view)?);
    figures.extend(calibration::figure(view)?);
    figures.extend(loss::figure(view)?);
    Ok(figures)
}
