//! Errors of objectives.

use miette::Diagnostic;

use crate::experiment::ExperimentError;
use crate::plugin::PluginError;

/// What is wrong with an objective.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ObjectiveError {
    /// The experiment names a strategy or parameter that does not fit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] ExperimentError),
    /// A fault of a plugin.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plugin(#[from] PluginError),
    /// A tensor operation of the host.
    #[error("adding up the objectives: {0}")]
    Tensor(#[from] tch::TchError),
    /// Saved tensors do not fit the objectives.
    #[error("the checkpoint does not fit the objectives: {0}")]
    State(String),
}
