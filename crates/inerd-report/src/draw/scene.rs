//! What a figure is made of: filled and stroked paths in millimetres. One [`Scene`] becomes SVG, PNG and PDF, so the
//! three always show the same thing.

/// (x, y) in millimetres from the upper left corner.
pub(crate) type Point = (f64, f64);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Segment {
    Move(Point),
    Line(Point),
    Quad(Point, Point),
    Cubic(Point, Point, Point),
    Close,
}

impl Segment {
    /// The same segment with every point sent through `f`.
    pub(crate) fn map(self, f: impl Fn(Point) -> Point) -> Self {
        match self {
            Self::Move(p) => Self::Move(f(p)),
            Self::Line(p) => Self::Line(f(p)),
            Self::Quad(a, p) => Self::Quad(f(a), f(p)),
            Self::Cubic(a, b, p) => Self::Cubic(f(a), f(b), f(p)),
            Self::Close => Self::Close,
        }
    }
}

/// sRGB and opacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Colour {
    pub(crate) rgb: (u8, u8, u8),
    pub(crate) alpha: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Paint {
    Fill(Colour),
    Stroke {
        colour: Colour,
        /// Millimetres.
        width: f64,
        /// Lengths of dashes and gaps in millimetres; empty for a solid line.
        dash: Vec<f64>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Path {
        segments: Vec<Segment>,
        paint: Paint,
        /// The text that the outlines spell, for readers who cannot see them.
        text: Option<String>,
    },
    /// Everything until [`Item::End`] is one data point, which can be referred to.
    Begin {
        id: String,
        /// Shown by a viewer when the pointer rests on the point.
        title: String,
    },
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    /// Millimetres.
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) items: Vec<Item>,
}

/// A closed circle of four cubic arcs.
pub(crate) fn circle((x, y): Point, radius: f64) -> Vec<Segment> {
    // The control points' distance for which a cubic comes closest to a quarter circle: 4/3·(√2 − 1).
    let k = radius * 0.552_284_749_8;
    let r = radius;
    vec![
        Segment::Move((x + r, y)),
        Segment::Cubic((x + r, y + k), (x + k, y + r), (x, y + r)),
        Segment::Cubic((x - k, y + r), (x - r, y + k), (x - r, y)),
        Segment::Cubic((x - r, y - k), (x - k, y - r), (x, y - r)),
        Segment::Cubic((x + k, y - r), (x + r, y - k), (x + r, y)),
        Segment::Close,
    ]
}

/// A polygon (`closed`) or a polyline through the points.
pub(crate) fn polyline(points: impl IntoIterator<Item = Point>, closed: bool) -> Vec<Segment> {
    let mut segments: Vec<Segment> = (points.into_iter().enumerate())
        .map(|(i, p)| if i == 0 { Segment::Move(p) } else { Segment::Line(p) })
        .collect();
    if closed && !segments.is_empty() {
        segments.push(Segment::Close);
    }
    segments
}
