//! plotters draws into a [`Scene`]. plotters counts in whole pixels, so a pixel here is a hundredth of a millimetre,
//! which no eye and no printer sees; its own SVG backend rounds to pixels of the screen.

use std::convert::Infallible;

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
    FontTransform, text_anchor,
};

use super::font::{self, Weight};
use super::scene::{Colour, Item, Paint, Point, Scene, Segment, circle, polyline};

/// Pixels of plotters per millimetre.
pub(crate) const PER_MM: f64 = 100.0;

/// From baseline to baseline, in ems.
const LINE_HEIGHT: f64 = 1.15;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

#[derive(Debug)]
pub(crate) struct SceneBackend<'a> {
    scene: &'a mut Scene,
}

impl<'a> SceneBackend<'a> {
    pub(crate) fn new(scene: &'a mut Scene) -> Self {
        Self { scene }
    }

    pub(crate) fn begin(&mut self, id: &str, title: &str) {
        self.scene.items.push(Item::Begin { id: id.to_owned(), title: title.to_owned() });
    }

    pub(crate) fn end(&mut self) {
        self.scene.items.push(Item::End);
    }

    pub(crate) fn path(&mut self, segments: Vec<Segment>, paint: Paint) {
        let colour = match &paint {
            Paint::Fill(colour) | Paint::Stroke { colour, .. } => colour,
        };
        if colour.alpha > 0.0 && !segments.is_empty() {
            self.scene.items.push(Item::Path { segments, paint, text: None });
        }
    }

    fn shape<S: BackendStyle>(&mut self, segments: Vec<Segment>, style: &S, fill: bool) {
        let colour = colour(style.color());
        let paint = if fill {
            Paint::Fill(colour)
        } else {
            Paint::Stroke { colour, width: f64::from(style.stroke_width()) / PER_MM, dash: Vec::new() }
        };
        self.path(segments, paint);
    }
}

fn colour(colour: BackendColor) -> Colour {
    Colour { rgb: colour.rgb, alpha: colour.alpha }
}

pub(crate) fn millimetres((x, y): BackendCoord) -> Point {
    (f64::from(x) / PER_MM, f64::from(y) / PER_MM)
}

fn weight<S: BackendTextStyle>(style: &S) -> Weight {
    if matches!(style.style(), FontStyle::Bold) { Weight::Bold } else { Weight::Regular }
}

impl DrawingBackend for SceneBackend<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        ((self.scene.width * PER_MM).round() as u32, (self.scene.height * PER_MM).round() as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect(point, (point.0 + 1, point.1 + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, a: BackendCoord, b: BackendCoord, style: &S, fill: bool) -> Drawn {
        let corners = [a, (b.0, a.1), b, (a.0, b.1)].map(millimetres);
        self.shape(polyline(corners, true), style, fill);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.shape(polyline(path.into_iter().map(millimetres), false), style, false);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, center: BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        self.shape(circle(millimetres(center), f64::from(radius) / PER_MM), style, fill);
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, vert: I, style: &S) -> Drawn {
        self.shape(polyline(vert.into_iter().map(millimetres), true), style, true);
        Ok(())
    }

    /// `style.size()` is the em in pixels. Lines end at line feeds.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, position: BackendCoord) -> Drawn {
        let (size, weight) = (style.size() / PER_MM, weight(style));
        let lines: Vec<&str> = text.split('\n').collect();
        let below_first = (lines.len() - 1) as f64 * LINE_HEIGHT * size;
        let first_baseline = match style.anchor().v_pos {
            text_anchor::VPos::Top => font::CAP_HEIGHT * size,
            text_anchor::VPos::Center => (font::CAP_HEIGHT * size - below_first) / 2.0,
            text_anchor::VPos::Bottom => -font::DESCENT * size - below_first,
        };
        let (x, y) = millimetres(position);
        for (number, line) in lines.into_iter().enumerate() {
            let width = font::width(line, size, weight);
            let dx = match style.anchor().h_pos {
                text_anchor::HPos::Left => 0.0,
                text_anchor::HPos::Center => -width / 2.0,
                text_anchor::HPos::Right => -width,
            };
            let dy = first_baseline + number as f64 * LINE_HEIGHT * size;
            let place = |(px, py): Point| {
                let (px, py) = (px + dx, py + dy);
                let (px, py) = match style.transform() {
                    FontTransform::None => (px, py),
                    FontTransform::Rotate90 => (-py, px),
                    FontTransform::Rotate180 => (-px, -py),
                    FontTransform::Rotate270 => (py, -px),
                };
                (x + px, y + py)
            };
            let segments: Vec<Segment> = font::outline(line, size, weight).into_iter().map(|s| s.map(place)).collect();
            if !segments.is_empty() {
                let paint = Paint::Fill(colour(style.color()));
                self.scene.items.push(Item::Path { segments, paint, text: Some(line.to_owned()) });
            }
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let widths = text.split('\n').map(|line| font::width(line, style.size(), weight(style)));
        let below_first = text.matches('\n').count() as f64 * LINE_HEIGHT;
        let height = style.size() * (below_first + font::CAP_HEIGHT + font::DESCENT);
        Ok((widths.fold(0.0, f64::max).ceil() as u32, height.ceil() as u32))
    }

    fn blit_bitmap(&mut self, _: BackendCoord, _: (u32, u32), _: &[u8]) -> Drawn {
        unreachable!("no figure holds a bitmap")
    }
}
