//! Errors of computing objectives.

use crate::PluginError;

/// An error of computing objectives.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// A fault of a plugin.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Nothing that is trained has a part in the sum.
    #[error("no gradient flows through the sum of the objectives")]
    NoGradient,
    /// A tensor operation of the host.
    #[error("adding up the objectives: {}", crate::brief(.0))]
    Tensor(#[from] tch::TchError),
    /// Saved tensors do not fit the objectives.
    #[error("the checkpoint does not fit the objectives: {0}")]
    State(String),
}
