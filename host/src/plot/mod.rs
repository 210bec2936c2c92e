//! Pictures as SVG text: lines over common axes.

mod axes;
mod error;
mod frame;
mod lines;

pub use axes::Axes;
pub(crate) use axes::{Label, chart, chart_labelled, range};
pub use error::PlotError;
pub(crate) use frame::{Area, COLOURS, Drawn, framed};
pub use lines::{Series, lines};
