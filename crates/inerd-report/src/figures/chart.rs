//! The frame around a plot: axes with ticks, a legend above, sizes in millimetres.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::PathElement;
use plotters::prelude::Cartesian2d;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    BLACK, Color, FontDesc, FontFamily, FontStyle, FontTransform, IntoTextStyle, RGBColor, TextStyle,
};

use crate::Error;
use crate::draw::backend::{PER_MM, SceneBackend};
use crate::draw::font::{self, Weight};
use crate::draw::scene::{Scene, polyline};
use crate::draw::style::{GRID, LINE, Look, POINT, draw_marker};

/// The columns of a two-column paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    One,
    Two,
}

impl Column {
    pub(crate) const ALL: [Self; 2] = [Self::One, Self::Two];

    /// Millimetres.
    pub(crate) fn width(self) -> f64 {
        match self {
            Self::One => 84.0,
            Self::Two => 174.0,
        }
    }

    /// What file names end in.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Two => "-wide",
        }
    }
}

/// Em sizes in millimetres: 8 pt for labels, 7 pt for ticks and the legend.
pub(crate) const LABEL: f64 = 8.0 * POINT;
pub(crate) const TICK: f64 = 7.0 * POINT;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Position and text.
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) grid: bool,
    /// The texts run from bottom to top: for many names beneath narrow columns.
    pub(crate) upright: bool,
}

impl Axis {
    /// A linear axis from tick to tick with some air around the values; from zero where that is near enough. An axis
    /// that starts elsewhere says so if it is one where zero would be expected (`zero`).
    pub(crate) fn linear(label: &str, values: impl IntoIterator<Item = f64>, zero: bool) -> Self {
        let (mut low, mut high) = extent(values);
        let air = if high > low { 0.04 * (high - low) } else { 0.1 * high.abs().max(1.0) };
        let positive = low >= 0.0;
        (low, high) = (low - air, high + air);
        if zero && positive && low < 0.5 * high {
            low = 0.0;
        }
        let step = round_step((high - low) / 5.0);
        let (first, last) = ((low / step + 1e-9).floor() as i64, (high / step - 1e-9).ceil() as i64);
        let ticks = ticks(first, last, step);
        let (low, high) = (first as f64 * step, last as f64 * step);
        let label = if zero && low > 0.0 { axis_from(label, &ticks[0].1) } else { label.to_owned() };
        Self { label, low, high, ticks, grid: true, upright: false }
    }

    /// A linear axis that ends where the values end: for what runs along the paper, such as steps.
    pub(crate) fn tight(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values);
        let high = if high > low { high } else { low + 1.0 };
        let low = if low > 0.0 && low < 0.2 * high { 0.0 } else { low };
        let step = round_step((high - low) / 5.0);
        let ticks = ticks((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64, step);
        Self { label: label.to_owned(), low, high, ticks, grid: true, upright: false }
    }

    /// A logarithmic axis: positions are `log10` of the values.
    pub(crate) fn log10(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values.into_iter().filter(|v| *v > 0.0).map(f64::log10));
        let air = (0.05 * (high - low)).max(0.08);
        let (low, high) = (low - air, high + air);
        let decades = (low.floor() as i32)..=(high.ceil() as i32);
        // A short range gets ticks within its decades.
        let steps: &[f64] = if high - low < 1.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks = decades
            .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)))
            .map(|value| (value.log10(), short_number(value)))
            .filter(|(at, _)| (low..=high).contains(at))
            .collect();
        Self { label: label.to_owned(), low, high, ticks, grid: true, upright: false }
    }

    /// One unit per name, the first at 0.5.
    pub(crate) fn categories<S: AsRef<str>>(label: &str, names: &[S]) -> Self {
        let ticks = names.iter().enumerate().map(|(i, n)| (i as f64 + 0.5, n.as_ref().to_owned())).collect();
        Self { label: label.to_owned(), low: 0.0, high: names.len().max(1) as f64, ticks, grid: false, upright: false }
    }

    /// Ends where the values must end: no score is above 100.
    pub(crate) fn within(mut self, low: f64, high: f64) -> Self {
        (self.low, self.high) = (self.low.max(low), self.high.min(high));
        self.ticks.retain(|(at, _)| (self.low - 1e-9..=self.high + 1e-9).contains(at));
        self
    }

    /// The first name on top, as in a table.
    pub(crate) fn reversed(mut self) -> Self {
        for (at, _) in &mut self.ticks {
            *at = self.high - *at;
        }
        self.ticks.reverse();
        self
    }

    fn scale(&self) -> Scale {
        self.scale_with(self.ticks.clone())
    }

    fn scale_with(&self, ticks: Vec<(f64, String)>) -> Scale {
        Scale { inner: (self.low..self.high).into(), ticks }
    }
}

/// A linear coordinate with ticks where the axis wants them and the text that it wants there.
pub(crate) struct Scale {
    inner: RangedCoordf64,
    ticks: Vec<(f64, String)>,
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.inner.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Bold points carry the labels; light ones would only repeat the ticks.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.iter().map(|(at, _)| *at).collect() }
    }

    fn range(&self) -> Range<f64> {
        self.inner.range()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(value: &f64) -> String {
        format!("{value}")
    }

    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|(at, _)| (at - value).abs() < 1e-9).map_or_else(String::new, |(_, t)| t.clone())
    }
}

fn ticks(first: i64, last: i64, step: f64) -> Vec<(f64, String)> {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let text = |value: f64| {
        if step >= 1000.0 { short_number(value) } else { format!("{value:.decimals$}").replace('-', "−") }
    };
    (first..=last).map(|i| i as f64 * step).map(|value| (value, text(value))).collect()
}

/// "F1 (points)" → "F1 (points, axis from 60)".
fn axis_from(label: &str, start: &str) -> String {
    match label.strip_suffix(')') {
        Some(open) => format!("{open}, axis from {start})"),
        None => format!("{label} (axis from {start})"),
    }
}

fn extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// 1, 2 or 5 times a power of ten, at least `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= raw * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// 1000 → "1k", 2500000 → "2.5M".
pub(crate) fn short_number(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The text, cut so that it ends in "…" where it is wider than `width` (millimetres).
pub(crate) fn cut(text: &str, width: f64, size: f64) -> String {
    let fits = |text: &str| font::width(text, size, Weight::Regular) <= width;
    if fits(text) {
        return text.to_owned();
    }
    let mut kept = text.to_owned();
    while !kept.is_empty() && !fits(&format!("{kept}…")) {
        kept.pop();
    }
    kept + "…"
}

/// Breaks a label at spaces and hyphens so that no line is wider than `width` (millimetres); what still is too wide
/// is cut and ends in "…".
pub(crate) fn wrap(text: &str, width: f64, size: f64) -> String {
    let fits = |line: &str| font::width(line, size, Weight::Regular) <= width;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_inclusive([' ', '-', '_', '/']) {
        let line = lines.last().map_or("", String::as_str);
        let joined = format!("{line}{word}");
        if line.is_empty() || fits(joined.trim_end()) {
            lines.pop();
            lines.push(joined);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| cut(line.trim_end(), width, size)).collect::<Vec<_>>().join("\n")
}

/// An entry of the legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) line: bool,
    pub(crate) marker: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) description: String,
    /// Millimetres of the whole picture's width.
    pub(crate) width: f64,
    /// Millimetres of the plot with its axes, without the legend.
    pub(crate) height: f64,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) legend: Vec<Key>,
}

pub(crate) type Canvas<'a> = DrawingArea<SceneBackend<'a>, Shift>;
pub(crate) type Chart<'a, 'b> = ChartContext<'a, SceneBackend<'b>, Cartesian2d<Scale, Scale>>;

/// Drawing into a scene fails for no reason of its own: what plotters reports is a chart that has no room.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

pub(crate) fn pixels(millimetres: f64) -> i32 {
    (millimetres * PER_MM).round() as i32
}

pub(crate) fn text_style(size: f64, bold: bool) -> TextStyle<'static> {
    let weight = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FontFamily::SansSerif, size * PER_MM, weight);
    // The parent matters for relative sizes only.
    font.color(&BLACK).into_text_style(&(0u32, 0u32))
}

impl Plot {
    /// Draws frame and legend, and lets `content` draw into the chart.
    pub(crate) fn draw(&self, content: impl FnOnce(&mut Chart<'_, '_>) -> Outcome) -> Result<Scene, Error> {
        let keys = self.legend_rows();
        let legend_height = if keys.is_empty() { 0.0 } else { (keys.len() as f64 * 1.5 + 0.4) * TICK };
        let mut scene = Scene {
            width: self.width,
            height: self.height + legend_height,
            title: self.title.clone(),
            description: self.description.clone(),
            items: Vec::new(),
        };
        let drawn = self.draw_into(SceneBackend::new(&mut scene), &keys, legend_height, content);
        drawn.map_err(|e| Error::Picture { figure: self.title.clone(), reason: e.to_string() })?;
        Ok(scene)
    }

    fn draw_into(
        &self,
        mut backend: SceneBackend<'_>,
        keys: &[Vec<(f64, &Key)>],
        legend_height: f64,
        content: impl FnOnce(&mut Chart<'_, '_>) -> Outcome,
    ) -> Outcome {
        for (row, keys) in keys.iter().enumerate() {
            let y = (row as f64 + 0.75) * 1.5 * TICK;
            for (x, key) in keys {
                draw_key(&mut backend, (*x, y), key);
            }
        }
        let area: Canvas<'_> = backend.into_drawing_area();
        for (row, keys) in keys.iter().enumerate() {
            let y = pixels((row as f64 + 0.75) * 1.5 * TICK - 0.5 * font::CAP_HEIGHT * TICK);
            for (x, key) in keys {
                area.draw_text(&self.named(key), &text_style(TICK, false), (pixels(x + key.sample()), y))?;
            }
        }
        let (_, plot) = area.split_vertically(pixels(legend_height));

        let widest = |axis: &Axis| {
            let lines = axis.ticks.iter().flat_map(|(_, t)| t.split('\n'));
            lines.map(|line| font::width(line, TICK, Weight::Regular)).fold(0.0, f64::max)
        };
        let lines = self.x.ticks.iter().map(|(_, t)| t.split('\n').count()).max().unwrap_or(1) as f64;
        let x_room = if self.x.upright { widest(&self.x) } else { lines * 1.2 * TICK };
        let label_room = |axis: &Axis| if axis.label.is_empty() { 0.0 } else { 1.5 * LABEL };
        let x_ticks = if self.x.upright { Vec::new() } else { self.x.ticks.clone() };
        let last_half = x_ticks.last().map_or(0.0, |(_, t)| font::width(t, TICK, Weight::Regular) / 2.0);
        let mut chart = ChartBuilder::on(&plot)
            .margin_top(pixels(0.6 * TICK))
            .margin_right(pixels(last_half.clamp(1.0, 4.0)))
            .margin_bottom(pixels(0.6))
            .margin_left(pixels(0.6))
            .x_label_area_size(pixels(x_room + 1.8 + label_room(&self.x)))
            .y_label_area_size(pixels(widest(&self.y) + 2.4 + label_room(&self.y)))
            .build_cartesian_2d(self.x.scale_with(x_ticks), self.y.scale())?;
        if self.x.upright {
            let style =
                text_style(TICK, false).transform(FontTransform::Rotate270).pos(Pos::new(HPos::Right, VPos::Center));
            for (at, text) in &self.x.ticks {
                let (x, y) = chart.backend_coord(&(*at, self.y.low));
                // Places of the chart count from the picture's corner, texts from the area's.
                let (left, top) = plot.get_base_pixel();
                plot.draw_text(text, &style, (x - left, y - top + pixels(1.4)))?;
            }
        }
        // The grid first, so that the axes lie on top.
        let grid = RGBColor(GRID.0, GRID.1, GRID.2).stroke_width(pixels(0.12) as u32);
        let (x, y) = (&self.x, &self.y);
        let upright = x.ticks.iter().filter(|_| x.grid).map(|(at, _)| [(*at, y.low), (*at, y.high)]);
        let level = y.ticks.iter().filter(|_| y.grid).map(|(at, _)| [(x.low, *at), (x.high, *at)]);
        chart.draw_series(upright.chain(level).map(|ends| PathElement::new(ends, grid)))?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh();
        mesh.axis_style(BLACK.stroke_width(pixels(0.18) as u32))
            .label_style(text_style(TICK, false))
            .axis_desc_style(text_style(LABEL, false))
            .set_all_tick_mark_size(pixels(0.9))
            .x_labels(self.x.ticks.len().max(1))
            .y_labels(self.y.ticks.len().max(1));
        if !self.x.label.is_empty() {
            mesh.x_desc(self.x.label.as_str());
        }
        if !self.y.label.is_empty() {
            mesh.y_desc(self.y.label.as_str());
        }
        mesh.draw()?;
        content(&mut chart)
    }

    /// The legend's entries with their x: in one row where they fit, else in columns of equal width.
    fn legend_rows(&self) -> Vec<Vec<(f64, &Key)>> {
        const LEFT: f64 = 1.5;
        const GAP: f64 = 3.0;
        let widths: Vec<f64> =
            self.legend.iter().map(|k| k.sample() + font::width(&self.named(k), TICK, Weight::Regular) + GAP).collect();
        let room = self.width - LEFT + GAP;
        if widths.iter().sum::<f64>() <= room {
            let lefts = widths.iter().scan(LEFT, |x, width| {
                let left = *x;
                *x += width;
                Some(left)
            });
            let row: Vec<(f64, &Key)> = lefts.zip(&self.legend).collect();
            return if row.is_empty() { Vec::new() } else { vec![row] };
        }
        let widest = widths.iter().copied().fold(1.0, f64::max);
        let columns = ((room / widest) as usize).max(1);
        let place = |(i, key)| (LEFT + i as f64 * widest, key);
        self.legend.chunks(columns).map(|row| row.iter().enumerate().map(place).collect()).collect()
    }

    /// A name of the legend, cut where not even a row of its own would hold it.
    fn named(&self, key: &Key) -> String {
        cut(&key.name, self.width - 2.0 - key.sample(), TICK)
    }
}

impl Key {
    /// Room for the sample, in millimetres.
    fn sample(&self) -> f64 {
        if self.line { 8.0 } else { 3.6 }
    }
}

fn draw_key(backend: &mut SceneBackend<'_>, (x, y): (f64, f64), key: &Key) {
    if key.line {
        backend.path(polyline([(x, y), (x + key.sample() - 1.2, y)], false), key.look.line(LINE));
    }
    if key.marker {
        draw_marker(backend, (x + (key.sample() - 1.2) / 2.0, y), key.look, 0.9, true);
    }
}
