//! Errors of an experiment file, each with its place in the file.

use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// An error of an experiment file.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ExperimentError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    #[diagnostic(help("give the path of an experiment file; examples/ has some to copy"))]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A `--set` that is not `key.path=value`, or whose place does not exist.
    #[error("{how} {text}: {message}")]
    Set {
        /// What applied it: `--set` or `session set`.
        how: &'static str,
        /// The argument.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// Something at a place of the file.
    #[error("{message}")]
    At {
        /// What is wrong.
        message: String,
        /// What the place is.
        label: String,
        /// What to do.
        #[help]
        help: Option<String>,
        /// The file, with what `--set` changed.
        #[source_code]
        text: Arc<NamedSource<String>>,
        /// Where.
        #[label("{label}")]
        span: Option<SourceSpan>,
    },
}
