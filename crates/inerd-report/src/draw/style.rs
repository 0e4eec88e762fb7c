//! What series look like: a colour that colour-blind readers can tell (Okabe and Ito, "Color Universal Design", 2008),
//! and never the colour alone: each series has its marker and its dash too.

use std::convert::Infallible;

use plotters::element::{Drawable, PointCollection};
use plotters_backend::{BackendCoord, DrawingErrorKind};

use super::backend::{SceneBackend, millimetres};
use super::scene::{Colour, Paint, Point, Segment, circle, polyline};

pub(crate) const POINT: f64 = 25.4 / 72.0;
/// Widths of lines in millimetres: of data, and of axes and whiskers.
pub(crate) const LINE: f64 = 0.9 * POINT;
pub(crate) const HAIRLINE: f64 = 0.5 * POINT;

/// Blue, vermilion, bluish green, reddish purple, orange, sky blue, black. The palette's yellow is left out: a thin
/// yellow line on white paper is invisible.
const OKABE_ITO: [(u8, u8, u8); 7] =
    [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (0, 0, 0)];

pub(crate) const INK: Colour = Colour { rgb: (0, 0, 0), alpha: 1.0 };
pub(crate) const PAPER: Colour = Colour { rgb: (255, 255, 255), alpha: 1.0 };
pub(crate) const GRID: (u8, u8, u8) = (222, 222, 222);

/// On and off lengths in multiples of the line's width.
const DASHES: [&[f64]; 5] = [&[], &[4.0, 2.0], &[1.2, 1.6], &[6.0, 2.0, 1.2, 2.0], &[8.0, 3.0]];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Down,
    Plus,
    Cross,
}

const SHAPES: [Shape; 7] =
    [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Diamond, Shape::Down, Shape::Plus, Shape::Cross];

/// The look of the `index`-th series. Colours repeat after 7, dashes after 5, so that the first 35 series differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Look {
    pub(crate) colour: Colour,
    pub(crate) shape: Shape,
    pub(crate) dash: &'static [f64],
}

impl Look {
    pub(crate) fn of(index: usize) -> Self {
        Self {
            colour: Colour { rgb: OKABE_ITO[index % OKABE_ITO.len()], alpha: 1.0 },
            // Shifted after each round of colours: no two of the first 49 series share colour and marker.
            shape: SHAPES[(index + index / OKABE_ITO.len()) % SHAPES.len()],
            dash: DASHES[index % DASHES.len()],
        }
    }

    pub(crate) fn faint(self, alpha: f64) -> Colour {
        Colour { alpha, ..self.colour }
    }

    pub(crate) fn line(self, width: f64) -> Paint {
        Paint::Stroke { colour: self.colour, width, dash: self.dash.iter().map(|d| d * width).collect() }
    }
}

pub(crate) fn solid(colour: Colour, width: f64) -> Paint {
    Paint::Stroke { colour, width, dash: Vec::new() }
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A reference that a data point carries into the SVG.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) id: String,
    pub(crate) title: String,
}

/// A marker at a point of the chart. `radius` in millimetres.
#[derive(Debug, Clone)]
pub(crate) struct Marker {
    pub(crate) at: (f64, f64),
    pub(crate) look: Look,
    pub(crate) radius: f64,
    /// Filled with the series' colour, or with paper (single seeds).
    pub(crate) filled: bool,
    pub(crate) tag: Option<Tag>,
}

pub(crate) fn draw_marker(backend: &mut SceneBackend<'_>, at: Point, look: Look, radius: f64, filled: bool) {
    let (x, y) = at;
    let r = radius;
    let corners = |points: &[Point]| polyline(points.iter().map(|&(dx, dy)| (x + dx * r, y + dy * r)), true);
    let area: Option<Vec<Segment>> = match look.shape {
        Shape::Circle => Some(circle(at, r)),
        Shape::Square => Some(corners(&[(-0.89, -0.89), (0.89, -0.89), (0.89, 0.89), (-0.89, 0.89)])),
        Shape::Triangle => Some(corners(&[(0.0, -1.15), (1.05, 0.75), (-1.05, 0.75)])),
        Shape::Down => Some(corners(&[(0.0, 1.15), (1.05, -0.75), (-1.05, -0.75)])),
        Shape::Diamond => Some(corners(&[(0.0, -1.25), (1.05, 0.0), (0.0, 1.25), (-1.05, 0.0)])),
        Shape::Plus | Shape::Cross => None,
    };
    if let Some(area) = area {
        backend.path(area.clone(), Paint::Fill(if filled { look.colour } else { PAPER }));
        backend.path(area, solid(look.colour, HAIRLINE));
    } else {
        let (a, b) = if look.shape == Shape::Plus { ((1.1, 0.0), (0.0, 1.1)) } else { ((0.85, 0.85), (0.85, -0.85)) };
        for (dx, dy) in [a, b] {
            let ends = [(x - dx * r, y - dy * r), (x + dx * r, y + dy * r)];
            backend.path(polyline(ends, false), solid(look.colour, if filled { 2.0 * LINE } else { LINE }));
        }
    }
}

impl<'a> PointCollection<'a, (f64, f64)> for &'a Marker {
    type Point = &'a (f64, f64);
    type IntoIter = std::iter::Once<&'a (f64, f64)>;
    fn point_iter(self) -> Self::IntoIter {
        std::iter::once(&self.at)
    }
}

impl Drawable<SceneBackend<'_>> for Marker {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        points: I,
        backend: &mut SceneBackend<'_>,
        _: (u32, u32),
    ) -> Drawn {
        for at in points {
            if let Some(tag) = &self.tag {
                backend.begin(&tag.id, &tag.title);
            }
            draw_marker(backend, millimetres(at), self.look, self.radius, self.filled);
            if self.tag.is_some() {
                backend.end();
            }
        }
        Ok(())
    }
}

/// A line or an area through points of the chart.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) paint: Paint,
    pub(crate) tag: Option<Tag>,
}

impl Trace {
    pub(crate) fn new(points: Vec<(f64, f64)>, paint: Paint) -> Self {
        Self { points, paint, tag: None }
    }
}

impl<'a> PointCollection<'a, (f64, f64)> for &'a Trace {
    type Point = &'a (f64, f64);
    type IntoIter = std::slice::Iter<'a, (f64, f64)>;
    fn point_iter(self) -> Self::IntoIter {
        self.points.iter()
    }
}

impl Drawable<SceneBackend<'_>> for Trace {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        points: I,
        backend: &mut SceneBackend<'_>,
        _: (u32, u32),
    ) -> Drawn {
        if let Some(tag) = &self.tag {
            backend.begin(&tag.id, &tag.title);
        }
        let closed = matches!(self.paint, Paint::Fill(_));
        backend.path(polyline(points.map(millimetres), closed), self.paint.clone());
        if self.tag.is_some() {
            backend.end();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_series_look_alike() {
        let looks: Vec<Look> = (0..35).map(Look::of).collect();
        for (i, a) in looks.iter().enumerate() {
            for b in &looks[..i] {
                assert!(a.colour != b.colour || (a.shape != b.shape && a.dash != b.dash), "{a:?} {b:?}");
            }
        }
    }
}
