//! A [`Scene`] as SVG. Figures carry no `<text>`: outlines look the same in every viewer.

use std::fmt::Write as _;

use super::scene::{Colour, Item, Paint, Point, Scene, Segment};
use super::style::GRID;
use crate::escape::xml;

/// A number with at most three decimals (a micrometre) and no trailing zeros.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn point((x, y): Point) -> String {
    format!("{} {}", number(x), number(y))
}

fn path_data(segments: &[Segment]) -> String {
    let mut data = String::new();
    for segment in segments {
        match *segment {
            Segment::Move(p) => data += &format!("M{}", point(p)),
            Segment::Line(p) => data += &format!("L{}", point(p)),
            Segment::Quad(a, p) => data += &format!("Q{} {}", point(a), point(p)),
            Segment::Cubic(a, b, p) => data += &format!("C{} {} {}", point(a), point(b), point(p)),
            Segment::Close => data.push('Z'),
        }
    }
    data
}

/// Black, white and the grid's grey become classes as well, so that a page can turn them around for a dark screen.
fn paint_attributes(paint: &Paint) -> String {
    let hex = |Colour { rgb: (r, g, b), .. }: Colour| format!("#{r:02x}{g:02x}{b:02x}");
    let class = |colour: Colour, kind: &str| match colour.rgb {
        (0, 0, 0) => format!(" class=\"ink-{kind}\""),
        GRID => format!(" class=\"grid-{kind}\""),
        (255, 255, 255) => format!(" class=\"paper-{kind}\""),
        _ => String::new(),
    };
    let opacity = |alpha: f64, kind: &str| {
        if alpha < 1.0 { format!(" {kind}-opacity=\"{}\"", number(alpha)) } else { String::new() }
    };
    match paint {
        Paint::Fill(colour) => {
            format!("{} fill=\"{}\"{}", class(*colour, "fill"), hex(*colour), opacity(colour.alpha, "fill"))
        }
        Paint::Stroke { colour, width, dash } => {
            let mut out = format!(
                "{} fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{}",
                class(*colour, "stroke"),
                hex(*colour),
                number(*width),
                opacity(colour.alpha, "stroke"),
            );
            if !dash.is_empty() {
                let dash: Vec<String> = dash.iter().map(|&d| number(d)).collect();
                let _ = write!(out, " stroke-dasharray=\"{}\"", dash.join(" "));
            }
            out
        }
    }
}

pub(crate) fn render(scene: &Scene) -> String {
    let (width, height) = (number(scene.width), number(scene.height));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n",
        xml(&scene.title),
        xml(&scene.description),
    );
    for item in &scene.items {
        let _ = match item {
            Item::Path { segments, paint, text } => {
                let label = text.as_ref().map(|t| format!(" aria-label=\"{}\"", xml(t))).unwrap_or_default();
                writeln!(svg, "<path{}{label} d=\"{}\"/>", paint_attributes(paint), path_data(segments))
            }
            Item::Begin { id, title } => {
                writeln!(svg, "<g class=\"point\" id=\"{}\"><title>{}</title>", xml(id), xml(title))
            }
            Item::End => writeln!(svg, "</g>"),
        };
    }
    svg += "</svg>\n";
    svg
}
