//! Figures of datasets, beside any experiment: counts as a heat map, lengths as curves.

use std::path::{Path, PathBuf};

use super::chart::{Axis, Column, Key, Plot};
use super::heat::{Field, Heat};
use crate::draw::scene::Scene;
use crate::draw::style::{HAIRLINE, INK, LINE, Look, Trace, solid};
use crate::{Error, create, draw, write};

/// Counts in rows and columns.
#[derive(Debug, Clone, Default)]
pub struct CountMatrix {
    /// File name without extension.
    pub stem: String,
    pub title: String,
    pub caption: String,
    pub row_label: String,
    pub column_label: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// `[row][column]`.
    pub counts: Vec<Vec<usize>>,
}

/// How many sentences are at most so long, one curve per dataset.
#[derive(Debug, Clone, Default)]
pub struct LengthCurves {
    /// File name without extension.
    pub stem: String,
    pub title: String,
    pub caption: String,
    /// What lengths are counted in.
    pub unit: String,
    /// Name and the lengths of all sentences.
    pub curves: Vec<(String, Vec<usize>)>,
    /// Drawn as a line across: what is longer does not fit.
    pub limit: Option<usize>,
}

impl CountMatrix {
    /// Writes the figure as SVG, PDF and PNG; gives the paths. A full colour is the largest count; shades are logarithmic.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let largest = self.counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
        let field =
            |&count: &usize| Some(Field { shade: shade(count as f64, largest), text: count.to_string(), tag: None });
        let heat = Heat {
            title: &self.title,
            caption: &self.caption,
            rows: &self.rows,
            columns: &self.columns,
            row_label: &self.row_label,
            column_label: &self.column_label,
            fields: self.counts.iter().map(|row| row.iter().map(field).collect()).collect(),
        };
        save(&heat.draw(Column::Two)?, &self.stem, folder)
    }
}

/// 0 for nothing, 0.8 (numbers stay legible) for the largest.
fn shade(count: f64, largest: f64) -> f64 {
    0.8 * (1.0 + count).ln() / (1.0 + largest).ln()
}

impl LengthCurves {
    /// Writes the figure as SVG, PDF and PNG; gives the paths.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let points: Vec<Vec<(f64, f64)>> = self.curves.iter().map(|(_, lengths)| cumulated(lengths)).collect();
        let limit = self.limit.map(|limit| limit.max(1) as f64);
        let lengths = points.iter().flatten().map(|p| 10f64.powf(p.0)).chain(limit);
        let key = |(index, (name, _)): (usize, &(String, Vec<usize>))| Key {
            name: name.clone(),
            look: Look::of(index),
            line: true,
            marker: false,
        };
        let x = Axis::log10(&self.unit, lengths);
        let across = limit.map(|limit| vec![(limit.log10(), 0.0), (limit.log10(), 100.0)]);
        let plot = Plot {
            title: self.title.clone(),
            description: self.caption.clone(),
            width: Column::Two.width(),
            height: 70.0,
            x,
            y: Axis::tight("Sentences (%)", [0.0, 100.0]),
            legend: self.curves.iter().enumerate().map(key).collect(),
        };
        let scene = plot.draw(|chart| {
            if let Some(ends) = across {
                chart.draw_series([Trace { points: ends, paint: solid(INK, HAIRLINE), tag: None }])?;
            }
            for (index, points) in points.into_iter().enumerate() {
                chart.draw_series([Trace::new(points, Look::of(index).line(LINE))])?;
            }
            Ok(())
        })?;
        save(&scene, &self.stem, folder)
    }
}

/// Steps of (log10 of the length, percent of the lengths that are at most so long).
fn cumulated(lengths: &[usize]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<usize> = lengths.iter().map(|&length| length.max(1)).collect();
    sorted.sort_unstable();
    let mut points = Vec::new();
    let mut below = 0.0;
    for group in sorted.chunk_by(|a, b| a == b) {
        let at = (group[0] as f64).log10();
        points.push((at, below));
        below += 100.0 * group.len() as f64 / sorted.len() as f64;
        points.push((at, below));
    }
    points
}

fn save(scene: &Scene, stem: &str, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    create(folder)?;
    let path = |extension: &str| folder.join(format!("{stem}.{extension}"));
    Ok(vec![
        write(path("svg"), draw::svg::render(scene).as_bytes())?,
        write(path("pdf"), &draw::pdf::render(scene))?,
        write(path("png"), &draw::png::render(scene)?)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_steps_to_all_sentences() {
        let points = cumulated(&[10, 1, 10, 100]);
        let expected = [(0.0, 0.0), (0.0, 25.0), (1.0, 25.0), (1.0, 75.0), (2.0, 75.0), (2.0, 100.0)];
        assert_eq!(points, expected);
        assert!(cumulated(&[]).is_empty());
    }

    #[test]
    fn figures_are_written_in_three_formats_and_hold_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let matrix = CountMatrix {
            stem: "overlap".to_owned(),
            rows: vec!["a".to_owned(), "b".to_owned()],
            columns: vec!["x".to_owned()],
            counts: vec![vec![0], vec![1234]],
            ..CountMatrix::default()
        };
        let written = matrix.write(folder.path()).unwrap();
        let svg = std::fs::read_to_string(&written[0]).unwrap();
        assert!(svg.contains("aria-label=\"1234\"") && svg.contains("aria-label=\"b\""), "{svg}");
        let curves = LengthCurves {
            stem: "lengths".to_owned(),
            unit: "Tokens".to_owned(),
            curves: vec![("a".to_owned(), vec![3, 9]), ("empty".to_owned(), vec![])],
            limit: Some(512),
            ..LengthCurves::default()
        };
        assert_eq!(curves.write(folder.path()).unwrap().len(), 3);
        let empty = LengthCurves { stem: "none".to_owned(), ..LengthCurves::default() };
        assert_eq!(empty.write(folder.path()).unwrap().len(), 3);
    }
}
