//! Texts with the entities found in them, for the terminal, for programs and for a browser.

use inerd_text::{Prediction, Span};
use serde::Serialize;

use crate::Error;
use crate::escape::xml;
use crate::page::document;

/// A text and what a system found in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Annotated {
    pub text: String,
    /// Spans in bytes, as everywhere in memory.
    pub predictions: Vec<Prediction>,
}

impl Annotated {
    /// What lies in the text, outer entities before the ones inside them.
    fn placed(&self) -> Vec<(Span, &Prediction)> {
        let inside = |p: &&Prediction| p.span.is_some_and(|s| !s.is_empty() && s.of(&self.text).is_some());
        let mut placed: Vec<_> = self.predictions.iter().filter(inside).filter_map(|p| Some((p.span?, p))).collect();
        placed.sort_by(|(a, p), (b, q)| (a.start, b.end, &p.kind).cmp(&(b.start, a.end, &q.kind)));
        placed
    }

    fn unplaced(&self) -> impl Iterator<Item = &Prediction> {
        self.predictions.iter().filter(|p| !p.span.is_some_and(|s| !s.is_empty() && s.of(&self.text).is_some()))
    }

    /// Byte positions at which an entity begins or ends, and both ends of the text, ascending.
    fn cuts(&self, placed: &[(Span, &Prediction)]) -> Vec<usize> {
        let mut cuts: Vec<usize> =
            placed.iter().flat_map(|(s, _)| [s.start, s.end]).chain([0, self.text.len()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}

/// A line per entity's level: entities that overlap get different levels.
fn levels(placed: &[(Span, &Prediction)]) -> Vec<usize> {
    let mut ends: Vec<usize> = Vec::new();
    (placed.iter())
        .map(|(span, _)| {
            let level = ends.iter().position(|end| *end <= span.start).unwrap_or(ends.len());
            if level == ends.len() {
                ends.push(span.end);
            } else {
                ends[level] = span.end;
            }
            level
        })
        .collect()
}

/// Colours of the terminal and of the page, by the type's position in the order of first use.
fn colours(annotated: &[Annotated]) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for prediction in annotated.iter().flat_map(|a| &a.predictions) {
        if !kinds.contains(&prediction.kind.as_str()) {
            kinds.push(&prediction.kind);
        }
    }
    kinds
}

/// For a terminal: `[Ada Lovelace](Person)` with brackets nested as the entities are, coloured by type if `colour`.
pub fn predictions_terminal(annotated: &[Annotated], colour: bool) -> String {
    // Blue, yellow, green, magenta, cyan, red: bright, readable on dark and light ground.
    const CODES: [u8; 6] = [94, 33, 32, 95, 36, 91];
    let kinds = colours(annotated);
    let paint = |kind: &str, text: &str| {
        let index = kinds.iter().position(|k| *k == kind).unwrap_or(0);
        if colour { format!("\u{1b}[{}m{text}\u{1b}[0m", CODES[index % CODES.len()]) } else { text.to_owned() }
    };
    let mut out = String::new();
    for a in annotated {
        let placed = a.placed();
        let cuts = a.cuts(&placed);
        for (number, &cut) in cuts.iter().enumerate() {
            // Inner entities end first.
            for (_, p) in placed.iter().rev().filter(|(s, _)| s.end == cut) {
                out += &paint(&p.kind, &format!("]({})", plain(&label(p))));
            }
            for (_, p) in placed.iter().filter(|(s, _)| s.start == cut) {
                out += &paint(&p.kind, "[");
            }
            if let Some(piece) = cuts.get(number + 1).and_then(|&end| a.text.get(cut..end)) {
                out += &plain(piece);
            }
        }
        out.push('\n');
        for p in a.unplaced() {
            out += &format!(
                "  not in the text: {} {}\n",
                plain(&p.surface),
                paint(&p.kind, &format!("({})", plain(&label(p))))
            );
        }
    }
    out
}

/// Control characters of the data must not steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

fn label(p: &Prediction) -> String {
    match p.confidence {
        Some(confidence) => format!("{} {:.0} %", p.kind, 100.0 * confidence),
        None => p.kind.clone(),
    }
}

/// For programs: one object per text; offsets count characters, as in every file.
pub fn predictions_json_lines(annotated: &[Annotated]) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Record<'a> {
        text: &'a str,
        entities: Vec<Found<'a>>,
    }
    #[derive(Serialize)]
    struct Found<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        /// Absent where the text does not hold the surface.
        #[serde(skip_serializing_if = "Option::is_none")]
        start: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        end: Option<usize>,
        surface: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        confidence: Option<f64>,
    }
    let mut out = String::new();
    for a in annotated {
        let characters = |byte: usize| a.text.get(..byte).map_or(0, |before| before.chars().count());
        let placed = a.placed().into_iter().map(|(s, p)| (Some((characters(s.start), characters(s.end))), p));
        let entities = placed.chain(a.unplaced().map(|p| (None, p))).map(|(span, p)| Found {
            kind: &p.kind,
            start: span.map(|s| s.0),
            end: span.map(|s| s.1),
            surface: &p.surface,
            confidence: p.confidence,
        });
        let record = Record { text: &a.text, entities: entities.collect() };
        out += &serde_json::to_string(&record)
            .map_err(|source| Error::Record { path: "standard output".into(), source })?;
        out.push('\n');
    }
    Ok(out)
}

/// For a browser: one self-contained page without a script.
pub fn predictions_page(title: &str, annotated: &[Annotated]) -> String {
    // The page's series colours: mid tones that carry on light and dark ground.
    const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a"];
    let kinds = colours(annotated);
    let colour_of = |kind: &str| COLOURS[kinds.iter().position(|k| *k == kind).unwrap_or(0) % COLOURS.len()];
    let mut body = format!("<header><h1>{}</h1></header>\n<main>\n<ol id=\"list\">\n", xml(title));
    for a in annotated {
        let placed = a.placed();
        let levels = levels(&placed);
        let cuts = a.cuts(&placed);
        body += "<li><div class=\"text\">";
        for ends in cuts.windows(2) {
            let [start, end] = *ends else { continue };
            let piece = xml(a.text.get(start..end).unwrap_or_default());
            let over: Vec<(&str, usize)> = (placed.iter().zip(&levels))
                .filter(|((s, _), _)| s.start <= start && s.end >= end)
                .map(|((_, p), level)| (colour_of(&p.kind), *level))
                .collect();
            if over.is_empty() {
                body += &piece;
            } else {
                let join =
                    |text: &dyn Fn(&(&str, usize)) -> String| over.iter().map(text).collect::<Vec<_>>().join(",");
                body += &format!(
                    "<span class=\"e\" style=\"padding-bottom:14px;background-image:{};background-size:{};background-position:{}\">{piece}</span>",
                    join(&|(c, _)| format!("linear-gradient({c},{c})")),
                    join(&|_| "100% 3px".to_owned()),
                    join(&|(_, level)| format!("0 calc(100% - {}px)", 12 - 4 * (*level).min(3))),
                );
            }
            for (_, p) in placed.iter().rev().filter(|(s, _)| s.end == end) {
                body += &format!("<span class=\"tag\">{}</span>", xml(&label(p)));
            }
        }
        for p in a.unplaced() {
            body +=
                &format!("<span class=\"chip wrong\">not in the text: {} · {}</span>", xml(&p.surface), xml(&label(p)));
        }
        body += "</div></li>\n";
    }
    body += "</ol>\n</main>\n";
    document(title, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: &str, text: &str, surface: &str) -> Prediction {
        let span = text.find(surface).map(|start| Span::new(start, start + surface.len()));
        Prediction { kind: kind.into(), surface: surface.into(), span, confidence: None }
    }

    fn nested() -> Annotated {
        let text = "Zoë left the University of Kraków .";
        let predictions = vec![
            found("Location", text, "Kraków"),
            found("Organisation", text, "University of Kraków"),
            found("Person", text, "Zoë"),
            Prediction { confidence: Some(0.25), ..found("Person", text, "Eve") },
        ];
        Annotated { text: text.into(), predictions }
    }

    #[test]
    fn brackets_nest_as_the_entities_do() {
        let plain = predictions_terminal(&[nested()], false);
        let expected = "[Zoë](Person) left the [University of [Kraków](Location)](Organisation) .\n\
                        \x20 not in the text: Eve (Person 25 %)\n";
        assert_eq!(plain, expected);
        assert!(predictions_terminal(&[nested()], true).starts_with("\u{1b}[32m[\u{1b}[0mZoë"));
    }

    #[test]
    fn a_text_cannot_steer_the_terminal_or_the_page() {
        let text = "a \u{1b}[31m<script>alert(1)</script>";
        let evil = Annotated { text: text.into(), predictions: vec![found("<b>", text, "<script>")] };
        assert!(!predictions_terminal(std::slice::from_ref(&evil), false).contains('\u{1b}'));
        let page = predictions_page("x", &[evil]);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn files_count_characters() {
        let json = predictions_json_lines(&[nested()]).unwrap();
        assert!(json.contains(r#"{"type":"Location","start":27,"end":33,"surface":"Kraków"}"#), "{json}");
        assert!(json.contains(r#"{"type":"Person","surface":"Eve","confidence":0.25}"#), "{json}");
    }

    #[test]
    fn overlapping_entities_lie_on_different_levels() {
        let a = nested();
        assert_eq!(levels(&a.placed()), [0, 0, 1]);
    }
}
