//! Matrices as heat maps: every field shows its number too, so nothing hangs on the colour.

use plotters::element::Text;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{RGBColor, TextStyle};

use super::chart::{Axis, Column, LABEL, Plot, TICK, cut, text_style, wrap};
use crate::Error;
use crate::draw::font::{self, Weight};
use crate::draw::scene::{Colour, Paint, Scene};
use crate::draw::style::{Tag, Trace};

pub(super) struct Field {
    /// 0 (paper) to 1 (full colour).
    pub(super) shade: f64,
    pub(super) text: String,
    pub(super) tag: Option<Tag>,
}

pub(super) struct Heat<'a> {
    pub(super) title: &'a str,
    pub(super) caption: &'a str,
    pub(super) rows: &'a [String],
    pub(super) columns: &'a [String],
    pub(super) row_label: &'a str,
    pub(super) column_label: &'a str,
    /// `[row][column]`; `None` leaves the field empty.
    pub(super) fields: Vec<Vec<Option<Field>>>,
}

/// From paper to Okabe and Ito's blue.
fn shade(value: f64) -> Colour {
    let mix = |full: f64| (255.0 + (full - 255.0) * value.clamp(0.0, 1.0)).round() as u8;
    Colour { rgb: (mix(0.0), mix(114.0), mix(178.0)), alpha: 1.0 }
}

impl Heat<'_> {
    pub(super) fn draw(&self, column: Column) -> Result<Scene, Error> {
        let names: Vec<String> = self.rows.iter().map(|n| wrap(n, 0.25 * column.width(), TICK)).collect();
        let widest =
            names.iter().flat_map(|n| n.split('\n')).map(|n| font::width(n, TICK, Weight::Regular)).fold(0.0, f64::max);
        let room = (column.width() - widest - 10.0) / self.columns.len().max(1) as f64;
        let mut heads: Vec<String> = self.columns.iter().map(|n| wrap(n, room - 0.6, TICK)).collect();
        // Names that would be cut beneath their columns stand upright instead.
        let upright = heads.iter().any(|h| h.contains('…') || h.split('\n').count() > 3);
        if upright {
            heads = self.columns.iter().map(|n| cut(n, 0.35 * column.width(), TICK)).collect();
        }
        let field_height = (2.4 * TICK).min(room.max(1.4 * TICK));
        let head = |h: &String| {
            if upright { font::width(h, TICK, Weight::Regular) } else { h.split('\n').count() as f64 * 1.2 * TICK }
        };
        let heads_height = heads.iter().map(head).fold(0.0, f64::max);
        let plot = Plot {
            title: self.title.to_owned(),
            description: self.caption.to_owned(),
            width: column.width(),
            height: 3.0 * LABEL + heads_height + field_height * self.rows.len() as f64 + 2.0,
            x: Axis { upright, ..Axis::categories(self.column_label, &heads) },
            y: Axis::categories(self.row_label, &names).reversed(),
            legend: Vec::new(),
        };
        let rows = self.rows.len() as f64;
        plot.draw(|chart| {
            for (r, fields) in self.fields.iter().enumerate() {
                for (c, field) in fields.iter().enumerate() {
                    let Some(field) = field else { continue };
                    let (left, top) = (c as f64, rows - r as f64);
                    let corners = vec![(left, top), (left + 1.0, top), (left + 1.0, top - 1.0), (left, top - 1.0)];
                    let area =
                        Trace { points: corners, paint: Paint::Fill(shade(field.shade)), tag: field.tag.clone() };
                    chart.draw_series([area])?;
                    let size = TICK.min(TICK * 0.92 * room / font::width(&field.text, TICK, Weight::Regular).max(1e-9));
                    // Below 5 pt nobody reads it, and the data are beside the figure.
                    if size >= 5.0 / 7.0 * TICK {
                        chart.draw_series([Text::new(
                            field.text.clone(),
                            (left + 0.5, top - 0.5),
                            ink(size, field.shade),
                        )])?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// Ink that keeps its contrast on the shade. Not pure black: the shade stays as it is on a dark screen, so must the ink.
fn ink(size: f64, shade: f64) -> TextStyle<'static> {
    let colour = if shade > 0.9 { RGBColor(254, 254, 254) } else { RGBColor(1, 1, 1) };
    TextStyle { color: plotters::style::Color::to_backend_color(&colour), ..text_style(size, false) }
        .pos(Pos::new(HPos::Center, VPos::Center))
}
