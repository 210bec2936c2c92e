//! Pictures as SVG text: lines over common axes, and confusion matrices.

mod axes;
pub(crate) mod confusion;
mod error;
mod frame;
mod lines;

pub use axes::Axes;
pub(crate) use axes::{chart, range};
pub use error::PlotError;
pub(crate) use frame::{Area, COLOURS, Drawn, GRID, INK, framed, text};
pub use lines::{Mark, Series, lines};
