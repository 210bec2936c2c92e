//! Errors of objectives.

use std::path::PathBuf;

use lossmith_plugin::PluginError;
use lossmith_plugin::objective::ComputeError;
use miette::Diagnostic;

use crate::PluginFault;
use crate::experiment::ExperimentError;
use crate::toolchain::ToolchainError;

/// An error of an objective.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ObjectiveError {
    /// The experiment names a strategy or parameter that does not fit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] ExperimentError),
    /// A fault of a plugin.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plugin(PluginFault),
    /// A plugin's crate that cannot be built.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Toolchain(#[from] ToolchainError),
    /// A component that a run kept is not what it was.
    #[error("{} is damaged: its name is the SHA-256 of other bytes", path.display())]
    #[diagnostic(help("copy the run anew if it was copied, or put the component of that hash there"))]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Nothing that is trained has a part in the sum.
    #[error("no gradient flows through the sum of the objectives")]
    #[diagnostic(help(
        "with `on = \"fused-only\"` nothing reaches the network: the fusion or the loss must have trainable parameters \
         there"
    ))]
    NoGradient,
    /// A tensor operation of the host.
    #[error("adding up the objectives: {}", lossmith_plugin::brief(.0))]
    Tensor(tch::TchError),
    /// Saved tensors do not fit the objectives.
    #[error("the checkpoint does not fit the objectives: {0}")]
    State(String),
}

// Its text is told in brief, so it is no source, which would be told in full.
impl From<tch::TchError> for ObjectiveError {
    fn from(error: tch::TchError) -> Self {
        Self::Tensor(error)
    }
}

impl From<ComputeError> for ObjectiveError {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Plugin(error) => error.into(),
            ComputeError::NoGradient => Self::NoGradient,
            ComputeError::Tensor(error) => Self::Tensor(error),
            ComputeError::State(text) => Self::State(text),
        }
    }
}

impl From<PluginError> for ObjectiveError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error.into())
    }
}
