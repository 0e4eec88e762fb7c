//! Drawing: plotters lays a chart out into a [`scene::Scene`], and the scene becomes SVG, PNG and PDF.

pub(crate) mod backend;
pub(crate) mod font;
pub(crate) mod pdf;
pub(crate) mod png;
pub(crate) mod scene;
pub(crate) mod style;
pub(crate) mod svg;
