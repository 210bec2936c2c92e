//! Errors that end a check before its report.

use lossmith_plugin::{ParameterError, PluginError};
use miette::Diagnostic;
use thiserror::Error;

use crate::PluginFault;
use crate::ranks::RanksError;

/// An error that ends a check before its report.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum CheckError {
    /// A fault of the plugin.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plugin(PluginFault),
    /// A result that is not finite, and the operation that made it.
    #[error("{error}; {origin}")]
    NotFinite {
        /// The fault.
        error: PluginFault,
        /// The operation.
        origin: String,
    },
    /// A parameter that the caller gave.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The other ranks.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ranks(#[from] RanksError),
    /// What libtorch says.
    #[error("computing with a result of the plugin failed")]
    Torch(#[from] tch::TchError),
    /// No strategy has the name that was asked for.
    #[error("the plugin has no strategy `{name}`")]
    #[diagnostic(help("it has {known}"))]
    NoStrategy {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The host has no loss of this name.
    #[error("there is no native loss `{name}`")]
    #[diagnostic(help("there are {known}"))]
    NoNative {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A strategy that computes nothing.
    #[error("the strategy refuses every batch: {0}")]
    #[diagnostic(help("give what it asks for with --params"))]
    Refused(String),
    /// There is nothing to check.
    #[error("the plugin describes no strategy")]
    #[diagnostic(help(
        "in Rust list its strategies in `export!`; in Python and JavaScript declare them in plugin.py or plugin.js"
    ))]
    Empty,
    /// The given batch is not what is expected.
    #[error("the given batch: {0}")]
    Case(String),
}

impl From<PluginError> for CheckError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error.into())
    }
}
