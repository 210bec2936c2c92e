//! Standard output: a reader that goes away ends the command quietly.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::error::CliError;
use crate::printable::{harmless, harmless_json};

/// Prints lines; what a terminal would act on is replaced. A closed pipe is no error: whoever read has enough.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    match writeln!(io::stdout().lock(), "{}", harmless(text)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::file(Path::new("standard output"), error))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(&harmless_json(&serde_json::to_string_pretty(value).map_err(CliError::json)?))
}
