//! The command `lossmith`, the same code as the binary.

use std::ffi::OsString;

use lossmith::started::Started;
use pyo3::prelude::*;

/// Runs the command with the words of a command line, the name of the command first, and ends the process. `program`,
/// which is this process, with the words `first` before those of the command starts it again.
#[pyfunction]
pub(crate) fn command(python: Python<'_>, words: Vec<OsString>, program: OsString, first: Vec<OsString>) {
    python.detach(|| lossmith::cli::main(Started { words, within: Some((program, first)) }))
}
