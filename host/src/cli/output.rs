//! Standard output: a reader that goes away ends the command quietly.

use std::io::{self, Write};
use std::path::Path;

use comfy_table::{ContentArrangement, Table};
use lossmith_plugin::printable::{harmless, harmless_json};
use serde::Serialize;

use super::error::CliError;

/// Prints lines; what a terminal would act on is replaced. A closed pipe is no error: whoever read has enough.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    match writeln!(io::stdout().lock(), "{}", harmless(text)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::file(Path::new("standard output"), error))
        }
        _ => Ok(()),
    }
}

/// The columns of a table where there is no terminal to ask.
const COLUMNS: u16 = 100;

/// An empty table that fits the terminal; where the output goes elsewhere, as many columns as the variable `COLUMNS`
/// says, or [`COLUMNS`]. Long cells are wrapped.
pub(super) fn table(preset: &str) -> Table {
    let asked = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width =
        terminal_size::terminal_size_of(io::stdout()).map_or_else(|| asked().unwrap_or(COLUMNS), |(width, _)| width.0);
    let mut table = Table::new();
    table.load_preset(preset).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table
}

/// Prints a value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(&harmless_json(&serde_json::to_string_pretty(value).map_err(CliError::json)?))
}
