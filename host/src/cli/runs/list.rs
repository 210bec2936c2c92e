//! `lossmith runs list`.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::{ColumnConstraint, Width, presets};

use crate::cli::error::CliError;
use crate::cli::output;
use crate::run;

pub(super) fn list(directory: &Path, json: bool) -> Result<(), CliError> {
    let (summaries, errors) = run::list(directory)?;
    for error in errors {
        eprintln!("{:?}", miette::Report::new(error));
    }
    if json {
        return output::json(&summaries);
    }
    if summaries.is_empty() {
        return output::line(&format!("no runs in {}; `lossmith train EXPERIMENT` makes one", directory.display()));
    }
    let mut table = output::table(presets::NOTHING);
    table.set_header(["run", "status", "epoch", "P@1", "R-precision", "MAP@R", "part", "varies"]);
    for summary in &summaries {
        let part = if summary.evaluation.keys().any(|name| name.starts_with("test/")) { "test" } else { "validation" };
        let value = |name: &str| {
            summary.evaluation.get(&format!("{part}/{name}")).map_or("-".to_owned(), |value| format!("{value:.4}"))
        };
        table.add_row([
            summary.name.clone(),
            summary.status.to_string(),
            summary.epoch.to_string(),
            value("precision-at-1"),
            value("r-precision"),
            value("map-at-r"),
            if summary.evaluation.is_empty() { "-" } else { part }.to_owned(),
            varies(&summary.varies),
        ]);
    }
    // A name is copied from here and a number is read: neither is cut. What is too long for the line is in the last
    // column.
    let last = table.column_count().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        let room = ColumnConstraint::LowerBoundary(Width::Fixed(VARIES_WIDTH));
        column.set_constraint(if at < last { ColumnConstraint::ContentWidth } else { room });
    }
    output::line(&table.trim_fmt())
}

/// Most keys in the column of what varies, the letters of a value, and the least width of the column.
const VARIES: usize = 4;
const VALUE_LETTERS: usize = 24;
const SIDE: usize = (VALUE_LETTERS - 2) / 2;
const VARIES_WIDTH: u16 = 20;

fn varies(keys: &BTreeMap<String, String>) -> String {
    let shown = keys.iter().take(VARIES).map(|(key, value)| format!("{key}={}", shortened(value)));
    let more = keys.len().saturating_sub(VARIES);
    shown.chain((more > 0).then(|| format!("and {more} more"))).collect::<Vec<_>>().join(", ")
}

/// A long value without its middle: the ends of paths say most.
fn shortened(value: &str) -> String {
    let letters: Vec<char> = value.chars().collect();
    match (letters.first_chunk::<SIDE>(), letters.last_chunk::<SIDE>()) {
        (Some(first), Some(last)) if letters.len() > VALUE_LETTERS => {
            first.iter().chain(&['.', '.']).chain(last).collect()
        }
        _ => value.to_owned(),
    }
}
