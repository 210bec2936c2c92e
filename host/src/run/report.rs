//! `report.html`: the page of a run as the board shows it, in one file.

use std::path::PathBuf;

use lossmith_run::{Run, RunError};

/// Writes `report.html` from what is in the run directory, and returns its path. It can be written again at any time.
///
/// # Errors
/// A file of the run cannot be read, or there is no room.
pub fn write(run: &Run) -> Result<PathBuf, RunError> {
    let html = lossmith_board::page_of(run)?;
    let path = run.path().join("report.html");
    lossmith_files::replace(&path, html.as_bytes()).map_err(RunError::io("write", &path))?;
    Ok(path)
}
