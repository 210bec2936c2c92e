//! Errors of a session.

use miette::Diagnostic;

use super::control::ControlError;
use super::watch::WatchError;
use crate::run::RunError;

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SessionError {
    /// The control.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Control(#[from] ControlError),
    /// The run's folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// The watcher.
    #[error("files cannot be followed: {0}")]
    Watch(#[from] WatchError),
    /// A thread.
    #[error("the system gives no thread for the checks")]
    Thread(#[source] std::io::Error),
    /// A run whose experiment file is not known.
    #[error("this run does not know its experiment file, so nothing can be followed")]
    #[diagnostic(help("give it: `lossmith train EXPERIMENT --resume RUN --watch`"))]
    NoFile,
}
