//! What can go wrong with what of a run takes libtorch or a plot.

use lossmith_run::RunError;
use miette::Diagnostic;
use tch::TchError;
use thiserror::Error;

use crate::plot::PlotError;

/// Why a checkpoint could not be written or read, or a report or a picture not be made.
#[derive(Debug, Error, Diagnostic)]
pub enum RecordError {
    /// A file or a folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// A tensor that a checkpoint cannot hold.
    #[error("a checkpoint cannot hold {name:?}, a tensor of {kind:?}")]
    TensorKind {
        /// Its name.
        name: String,
        /// Its element type.
        kind: tch::Kind,
    },
    /// A plot could not be drawn.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plot(#[from] PlotError),
    /// libtorch refused an operation.
    #[error("reading or making tensors failed in libtorch")]
    Torch(#[from] TchError),
}
