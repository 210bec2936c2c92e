//! Pictures as SVG text: lines over common axes, and confusion matrices.

pub(crate) mod confusion;
mod error;
mod lines;

pub use error::PlotError;
pub(crate) use lines::{Area, COLOURS, Drawn, GRID, HEADING, INK, MARGIN, framed, framed_in, number, range, text};
pub use lines::{Axes, Mark, Series, lines};
