//! Errors of a sweep.

use std::path::PathBuf;

use miette::Diagnostic;

use crate::experiment::ExperimentError;
use crate::run::{RecordError, RunError};
use crate::train::TrainingError;

/// An error that ends a sweep.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SweepError {
    /// The sweep file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] ExperimentError),
    /// One of its runs.
    #[error("the run `{name}` failed")]
    #[diagnostic(help(
        "runs that are done are kept: the same command goes on; --keep-going passes over runs that fail"
    ))]
    Run {
        /// Name of its experiment.
        name: String,
        /// What ended it.
        #[source]
        #[diagnostic_source]
        error: TrainingError,
    },
    /// The experiment of one of its runs, before any is trained.
    #[error("the experiment of the run `{name}` cannot be trained")]
    Experiment {
        /// Name of the experiment.
        name: String,
        /// What is wrong with it.
        #[source]
        #[diagnostic_source]
        error: TrainingError,
    },
    /// The record of the test part is not what it should be.
    #[error("{} is damaged: {reason}", path.display())]
    #[diagnostic(help("remove it: the same command measures the test part of what was chosen again"))]
    TestPart {
        /// The file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// A run without anything to choose by.
    #[error("the run `{name}` measured nothing on a validation part")]
    #[diagnostic(help("a sweep chooses by the validation part: give `data.validation` a share of the images"))]
    NoValidation {
        /// Name of its experiment.
        name: String,
    },
    /// Runs that failed and were passed over.
    #[error("{} of the runs failed: {}", names.len(), names.join(", "))]
    #[diagnostic(help("the table is of the others; the same command tries them again"))]
    Failed {
        /// Names of their experiments.
        names: Vec<String>,
    },
    /// A file of the results or a run's folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Folder(#[from] RecordError),
}

impl From<RunError> for SweepError {
    fn from(error: RunError) -> Self {
        Self::Folder(error.into())
    }
}
