//! Why a candidate is not taken.

use super::state_layout::Misfit;
use crate::PluginError;
use crate::objective::ComputeError;

/// Why a candidate is not taken.
#[derive(Debug, thiserror::Error)]
pub enum CandidateError {
    /// It cannot be computed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// A strategy returned something that is not finite. `origin` is the operation that made it first, if it can be
    /// told.
    #[error("on a batch of the run: {error}{}", told(origin.as_ref()))]
    Result {
        /// The fault.
        error: Box<PluginError>,
        /// The operation.
        origin: Option<String>,
    },
    /// The loss is not finite.
    #[error("on a batch of the run its loss is {value}{}", told(origin.as_ref()))]
    Loss {
        /// The loss.
        value: f64,
        /// The operation that made something that is not finite first, if it can be told.
        origin: Option<String>,
    },
    /// A gradient is not finite.
    #[error("on a batch of the run {}{}", whose(parameter.as_ref()), told(origin.as_ref()))]
    Gradient {
        /// The parameter of a strategy that it is of; `None` for the embeddings.
        parameter: Option<String>,
        /// The operation that made something that is not finite first, if it can be told.
        origin: Option<String>,
    },
    /// Computed twice on one batch it gives two results.
    #[error("computed twice on one batch it gives two results")]
    NotRepeatable,
    /// It makes something that is kept in another shape or dtype.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

impl From<tch::TchError> for CandidateError {
    fn from(error: tch::TchError) -> Self {
        Self::Compute(error.into())
    }
}

impl From<PluginError> for CandidateError {
    fn from(error: PluginError) -> Self {
        Self::Compute(error.into())
    }
}

fn told(origin: Option<&String>) -> String {
    origin.map(|origin| format!(": {origin}")).unwrap_or_default()
}

fn whose(parameter: Option<&String>) -> String {
    match parameter {
        Some(name) => format!("the gradient of `{name}` is not finite"),
        None => "its gradient is not finite".to_owned(),
    }
}
