//! A [`Scene`] as pixels.

use tiny_skia::{Color, FillRule, LineJoin, Path, PathBuilder, Pixmap, StrokeDash, Transform};

use super::scene::{Colour, Item, Paint, Scene, Segment};
use crate::Error;

/// Dots per inch that journals ask for in line art.
const DPI: f64 = 300.0;

pub(crate) fn render(scene: &Scene) -> Result<Vec<u8>, Error> {
    let scale = DPI / 25.4;
    let (width, height) = ((scene.width * scale).round() as u32, (scene.height * scale).round() as u32);
    let picture = |reason: &str| Error::Picture { figure: scene.title.clone(), reason: reason.to_owned() };
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| picture("it has no area"))?;
    pixels.fill(Color::WHITE);
    let transform = Transform::from_scale(scale as f32, scale as f32);
    for item in &scene.items {
        let Item::Path { segments, paint, .. } = item else { continue };
        // A path without extent draws nothing.
        let Some(path) = trace(segments) else { continue };
        let (Paint::Fill(colour) | Paint::Stroke { colour, .. }) = paint;
        let brush = brush(*colour);
        match paint {
            Paint::Fill(_) => pixels.fill_path(&path, &brush, FillRule::Winding, transform, None),
            Paint::Stroke { width, dash, .. } => {
                let dash = StrokeDash::new(dash.iter().map(|&d| d as f32).collect(), 0.0);
                let stroke =
                    tiny_skia::Stroke { width: *width as f32, line_join: LineJoin::Round, dash, ..Default::default() };
                pixels.stroke_path(&path, &brush, &stroke, transform, None);
            }
        }
    }
    pixels.encode_png().map_err(|e| picture(&e.to_string()))
}

fn brush(Colour { rgb: (r, g, b), alpha }: Colour) -> tiny_skia::Paint<'static> {
    let mut paint = tiny_skia::Paint { anti_alias: true, ..Default::default() };
    paint.set_color_rgba8(r, g, b, (alpha * 255.0).round() as u8);
    paint
}

fn trace(segments: &[Segment]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for segment in segments {
        match *segment {
            Segment::Move((x, y)) => path.move_to(x as f32, y as f32),
            Segment::Line((x, y)) => path.line_to(x as f32, y as f32),
            Segment::Quad((ax, ay), (x, y)) => path.quad_to(ax as f32, ay as f32, x as f32, y as f32),
            Segment::Cubic((ax, ay), (bx, by), (x, y)) => {
                path.cubic_to(ax as f32, ay as f32, bx as f32, by as f32, x as f32, y as f32);
            }
            Segment::Close => path.close(),
        }
    }
    path.finish()
}
