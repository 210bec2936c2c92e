//! The command `lossmith`, the same code as the binary.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command with the words of a command line, the program first, and ends the process.
#[pyfunction]
pub(crate) fn command(python: Python<'_>, words: Vec<OsString>) {
    python.detach(|| lossmith::cli::main(words))
}
