//! The bundled font: Liberation Sans (SIL Open Font License 1.1, `fonts/LICENSE-Liberation.txt`), which has the widths
//! of Arial and Helvetica. Text is measured and outlined here, so that a figure looks the same on every machine.

use std::sync::OnceLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

use super::scene::{Point, Segment};

static REGULAR: &[u8] = include_bytes!("../../fonts/LiberationSans-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../../fonts/LiberationSans-Bold.ttf");

/// Height of a capital letter and depth of a descender, as parts of the em.
pub(crate) const CAP_HEIGHT: f64 = 0.729;
pub(crate) const DESCENT: f64 = 0.212;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

fn face(weight: Weight) -> &'static Face<'static> {
    static FACES: OnceLock<[Face<'static>; 2]> = OnceLock::new();
    let faces = FACES.get_or_init(|| {
        [REGULAR, BOLD].map(|bytes| Face::parse(bytes, 0).expect("the bundled fonts are part of the program and parse"))
    });
    match weight {
        Weight::Regular => &faces[0],
        Weight::Bold => &faces[1],
    }
}

/// The glyphs of a text with their left edges in font units, kerned, and the whole advance.
fn layout(text: &str, weight: Weight) -> (Vec<(GlyphId, f64)>, f64) {
    let face = face(weight);
    let kerning = |left, right| {
        let pairs = face.tables().kern.iter().flat_map(|kern| kern.subtables);
        pairs.filter(|t| t.horizontal && !t.has_state_machine).find_map(|t| t.glyphs_kerning(left, right)).unwrap_or(0)
    };
    let mut glyphs: Vec<(GlyphId, f64)> = Vec::with_capacity(text.len());
    let mut x = 0.0;
    for character in text.chars() {
        // Glyph 0 is the font's own "not there" box: visible, and never a panic.
        let glyph = face.glyph_index(character).unwrap_or(GlyphId(0));
        if let Some(&(previous, _)) = glyphs.last() {
            x += f64::from(kerning(previous, glyph));
        }
        glyphs.push((glyph, x));
        x += f64::from(face.glyph_hor_advance(glyph).unwrap_or(0));
    }
    (glyphs, x)
}

/// Width of `text` at `size` (the em), in the unit of `size`.
pub(crate) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    layout(text, weight).1 * size / f64::from(face(weight).units_per_em())
}

/// Outlines of `text` at `size`, starting at (0, 0) on the baseline, y downwards.
pub(crate) fn outline(text: &str, size: f64, weight: Weight) -> Vec<Segment> {
    struct Pen {
        scale: f64,
        dx: f64,
        segments: Vec<Segment>,
    }
    impl Pen {
        fn at(&self, x: f32, y: f32) -> Point {
            (self.dx + f64::from(x) * self.scale, -f64::from(y) * self.scale)
        }
    }
    impl OutlineBuilder for Pen {
        fn move_to(&mut self, x: f32, y: f32) {
            self.segments.push(Segment::Move(self.at(x, y)));
        }
        fn line_to(&mut self, x: f32, y: f32) {
            self.segments.push(Segment::Line(self.at(x, y)));
        }
        fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
            self.segments.push(Segment::Quad(self.at(x1, y1), self.at(x, y)));
        }
        fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
            self.segments.push(Segment::Cubic(self.at(x1, y1), self.at(x2, y2), self.at(x, y)));
        }
        fn close(&mut self) {
            self.segments.push(Segment::Close);
        }
    }

    let face = face(weight);
    let scale = size / f64::from(face.units_per_em());
    let mut pen = Pen { scale, dx: 0.0, segments: Vec::new() };
    for (glyph, x) in layout(text, weight).0 {
        pen.dx = x * scale;
        face.outline_glyph(glyph, &mut pen);
    }
    pen.segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // Liberation Sans has 2048 units per em; a digit is 1139 wide, as in Arial.
        assert!((width("0", 2048.0, Weight::Regular) - 1139.0).abs() < 1e-9);
        assert!((width("0123", 2048.0, Weight::Regular) - 4.0 * 1139.0).abs() < 1e-9);
        assert!(
            width("AV", 10.0, Weight::Regular) < width("A", 10.0, Weight::Regular) + width("V", 10.0, Weight::Regular)
        );
    }

    #[test]
    fn a_character_the_font_lacks_is_a_box_and_not_a_panic() {
        assert!(!outline("\u{10FFFD}", 10.0, Weight::Bold).is_empty());
        assert!(outline("", 10.0, Weight::Bold).is_empty());
    }
}
