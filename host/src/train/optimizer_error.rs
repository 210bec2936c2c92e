//! What can go wrong with an optimizer.

use crate::experiment::OutOfRange;
use crate::model::StateDifference;
use miette::Diagnostic;
use tch::TchError;
use thiserror::Error;

/// An error of the optimizer or its settings.
#[derive(Debug, Error, Diagnostic)]
pub enum TrainError {
    /// A number outside of its range.
    #[error(transparent)]
    #[diagnostic(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Two parameters have one name.
    #[error("the optimizer already has a parameter `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The tensor cannot be trained.
    #[error("`{name}` cannot be trained: it must be a tensor that requires a gradient and is not computed from others")]
    NotTrainable {
        /// The name.
        name: String,
    },
    /// A saved state is of another optimizer.
    #[error("the saved state does not fit the optimizer: {0}")]
    #[diagnostic(help("use the `optimizer.name` and the network that it was saved with"))]
    State(StateDifference),
    /// An operation of libtorch failed.
    #[error("libtorch failed in the optimizer: {}", lossmith_plugin::brief(.0))]
    Torch(TchError),
}

// Its text is told in brief, so it is no source, which would be told in full.
impl From<TchError> for TrainError {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}
