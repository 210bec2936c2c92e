//! Errors of drawing a plot.

use miette::Diagnostic;
use thiserror::Error;

/// A picture could not be drawn.
#[derive(Debug, Error, Diagnostic)]
#[error("cannot draw {title:?}: {reason}")]
pub struct PlotError {
    /// Title of the picture.
    pub title: String,
    /// What the plotter said.
    pub reason: String,
}
