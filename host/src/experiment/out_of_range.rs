//! The error of a number outside of its range.

use miette::Diagnostic;
use thiserror::Error;

/// A number outside of its range.
#[derive(Debug, Error, Diagnostic)]
#[error("`{key}` is {value}")]
#[diagnostic(help("it must be {range}"))]
pub struct OutOfRange {
    /// The key in the experiment file.
    pub key: &'static str,
    /// Its value.
    pub value: f64,
    /// What is allowed.
    pub range: &'static str,
}

/// `Ok` if `allowed`, else the error that names the key.
pub(crate) fn check_range(key: &'static str, value: f64, allowed: bool, range: &'static str) -> Result<(), OutOfRange> {
    if allowed { Ok(()) } else { Err(OutOfRange { key, value, range }) }
}
