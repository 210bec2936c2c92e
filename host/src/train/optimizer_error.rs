//! What can go wrong in training.

use crate::model::Difference;
use miette::Diagnostic;
use tch::TchError;
use thiserror::Error;

/// An error of the optimizer or its settings.
#[derive(Debug, Error, Diagnostic)]
pub enum TrainError {
    /// A number outside of its range.
    #[error("`{key}` is {value}")]
    #[diagnostic(help("it must be {range}"))]
    OutOfRange {
        /// The key in the experiment file.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
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
    State(Difference),
    /// An operation of libtorch failed.
    #[error("libtorch failed in the optimizer")]
    Torch(#[from] TchError),
}

/// `Ok` if `allowed`, else the error that names the key.
pub(super) fn check_range(key: &'static str, value: f64, allowed: bool, range: &'static str) -> Result<(), TrainError> {
    if allowed { Ok(()) } else { Err(TrainError::OutOfRange { key, value, range }) }
}
