//! A [`Scene`] as a PDF page of its own size. No font is needed, since text is outlines, and no date is written, so the
//! same scene gives the same bytes.

use std::collections::BTreeMap;

use pdf_writer::types::LineJoinStyle;
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, TextStr};

use super::scene::{Colour, Item, Paint, Point, Scene, Segment};

const POINTS_PER_MM: f64 = 72.0 / 25.4;

pub(crate) fn render(scene: &Scene) -> Vec<u8> {
    let page_height = scene.height * POINTS_PER_MM;
    // PDF counts upwards from the lower left corner.
    let place = |(x, y): Point| ((x * POINTS_PER_MM) as f32, (page_height - y * POINTS_PER_MM) as f32);

    // One graphics state per opacity that occurs, named by its value in thousandths.
    let mut opacities: BTreeMap<u32, String> = BTreeMap::new();
    let mut content = Content::new();
    content.set_line_join(LineJoinStyle::RoundJoin);
    for item in &scene.items {
        let Item::Path { segments, paint, .. } = item else { continue };
        let (Paint::Fill(colour) | Paint::Stroke { colour, .. }) = paint;
        let thousandths = (colour.alpha * 1000.0).round() as u32;
        let state = opacities.entry(thousandths).or_insert_with(|| format!("a{thousandths}"));
        content.set_parameters(Name(state.as_bytes()));
        let [r, g, b] = channels(*colour);
        match paint {
            Paint::Fill(_) => {
                content.set_fill_rgb(r, g, b);
                trace(&mut content, segments, place);
                content.fill_nonzero();
            }
            Paint::Stroke { width, dash, .. } => {
                content.set_stroke_rgb(r, g, b);
                content.set_line_width((width * POINTS_PER_MM) as f32);
                content.set_dash_pattern(dash.iter().map(|d| (d * POINTS_PER_MM) as f32), 0.0);
                trace(&mut content, segments, place);
                content.stroke();
            }
        }
    }

    let [catalogue, pages, page, stream, info] = [1, 2, 3, 4, 5].map(Ref::new);
    let mut pdf = Pdf::new();
    pdf.catalog(catalogue).pages(pages);
    pdf.pages(pages).kids([page]).count(1);
    let mut sheet = pdf.page(page);
    sheet.media_box(Rect::new(0.0, 0.0, (scene.width * POINTS_PER_MM) as f32, page_height as f32));
    sheet.parent(pages).contents(stream);
    let mut resources = sheet.resources();
    let mut states = resources.ext_g_states();
    for (thousandths, name) in &opacities {
        let alpha = *thousandths as f32 / 1000.0;
        states
            .insert(Name(name.as_bytes()))
            .start::<pdf_writer::writers::ExtGraphicsState<'_>>()
            .non_stroking_alpha(alpha)
            .stroking_alpha(alpha);
    }
    states.finish();
    resources.finish();
    sheet.finish();
    pdf.document_info(info).title(TextStr(&scene.title));
    pdf.stream(stream, &content.finish());
    pdf.finish()
}

fn channels(Colour { rgb: (r, g, b), .. }: Colour) -> [f32; 3] {
    [r, g, b].map(|c| f32::from(c) / 255.0)
}

fn trace(content: &mut Content, segments: &[Segment], place: impl Fn(Point) -> (f32, f32)) {
    let mut at = (0.0, 0.0);
    for segment in segments {
        match *segment {
            Segment::Move(p) => {
                let (x, y) = place(p);
                content.move_to(x, y);
                at = p;
            }
            Segment::Line(p) => {
                let (x, y) = place(p);
                content.line_to(x, y);
                at = p;
            }
            Segment::Quad(c, p) => {
                // PDF knows cubics only: raise the degree.
                let lift = |end: Point| (end.0 + 2.0 / 3.0 * (c.0 - end.0), end.1 + 2.0 / 3.0 * (c.1 - end.1));
                cubic(content, place(lift(at)), place(lift(p)), place(p));
                at = p;
            }
            Segment::Cubic(a, b, p) => {
                cubic(content, place(a), place(b), place(p));
                at = p;
            }
            Segment::Close => {
                content.close_path();
            }
        }
    }
}

fn cubic(content: &mut Content, a: (f32, f32), b: (f32, f32), p: (f32, f32)) {
    content.cubic_to(a.0, a.1, b.0, b.1, p.0, p.1);
}
