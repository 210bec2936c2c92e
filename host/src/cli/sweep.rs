//! `lossmith sweep`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use comfy_table::{CellAlignment, presets};
use lossmith_plugin::Runtime;
use serde_json::json;

use super::error::CliError;
use super::interrupt::Ear;
use super::output;
use crate::standard::Standard;
use crate::sweep::{Sweep, SweepError, SweepEvent, SweepOptions, Table, conduct};

/// Train an experiment in several settings, by several methods, with several seeds, and print the table.
///
/// Runs that are there already are kept, stopped ones are gone on with: after Ctrl-C or a crash the same command goes
/// on. Values of `vary` are chosen on the validation part; the test part is measured for what was chosen only, once.
/// `lossmith schema --sweep` describes the file.
#[derive(Args, Debug)]
pub(super) struct SweepArgs {
    /// The sweep file.
    sweep: PathBuf,
    /// The folder for results.json, table.md, test.json and the curves. Default: DIRECTORY/NAME-results, both of the
    /// sweep file.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Pass over runs that fail; the others make the table.
    #[arg(long)]
    keep_going: bool,
}

pub(super) fn sweep(args: &SweepArgs, json: bool) -> Result<(), CliError> {
    let sweep = Sweep::read(&args.sweep)?;
    let config = &sweep.config;
    let output = args.output.clone().unwrap_or_else(|| config.directory.join(format!("{}-results", config.name)));
    let options = SweepOptions { output, standard: Standard::from_environment(), keep_going: args.keep_going };
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    let interrupts = Ear::open()?.ready()?;
    let complete = conduct(&sweep, &options, runtime, &interrupts, &mut |report| {
        // A sweep goes on when nobody reads its lines.
        let _ = output::line(&if json { as_json(&report) } else { as_text(&report, &config.select) });
    })?;
    let Some(complete) = complete else { return Err(CliError::SweepInterrupted) };
    let tables = complete.results.write(config, &options.output)?;
    if json {
        let folder = &options.output;
        output::line(&json!({ "event": "results", "output": folder, "results": complete.results }).to_string())?;
    } else {
        for table in &tables {
            output::line(&format!("\n{}\n{}", table.title, drawn(table)))?;
        }
        output::line(&format!("\nresults: {}", options.output.display()))?;
    }
    if complete.failed.is_empty() { Ok(()) } else { Err(SweepError::Failed { names: complete.failed }.into()) }
}

fn drawn(table: &Table) -> comfy_table::Table {
    let mut drawn = output::table(presets::NOTHING);
    drawn.set_header(&table.header).add_rows(&table.rows);
    drawn.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    drawn
}

fn as_text(report: &SweepEvent<'_>, select: &str) -> String {
    let duration =
        |seconds: &Option<f64>, kept: &str| seconds.map_or(kept.to_owned(), |seconds| format!("{seconds:.1} s"));
    match report {
        SweepEvent::Run { number, of, name, validation, seconds } => {
            let validation = validation.map_or(String::new(), |value| format!("{select} {value:.4}  "));
            format!("{number}/{of}  {name}  {validation}{}", duration(seconds, "kept"))
        }
        SweepEvent::Failed { number, of, name, error } => format!("{number}/{of}  {name}  failed: {error}"),
        SweepEvent::Changed { name, run, what } => format!("{name}: {} is not kept: {what}", run.display()),
        SweepEvent::Tested { number, of, name, seconds } => {
            format!("test {number}/{of}  {name}  {}", duration(seconds, "measured before"))
        }
        SweepEvent::Warning { name, slot, text } => format!("{name}: {slot} warning: {text}"),
    }
}

fn as_json(report: &SweepEvent<'_>) -> String {
    let value = match report {
        SweepEvent::Run { number, of, name, validation, seconds } => json!({
            "event": "run", "number": number, "of": of, "name": name, "validation": validation, "seconds": seconds,
            "kept": seconds.is_none(),
        }),
        SweepEvent::Failed { number, of, name, error } => {
            json!({ "event": "failed", "number": number, "of": of, "name": name, "error": error.to_string() })
        }
        SweepEvent::Changed { name, run, what } => {
            json!({ "event": "changed", "name": name, "run": run, "what": what })
        }
        SweepEvent::Tested { number, of, name, seconds } => json!({
            "event": "tested", "number": number, "of": of, "name": name, "seconds": seconds, "kept": seconds.is_none(),
        }),
        SweepEvent::Warning { name, slot, text } => {
            json!({ "event": "warning", "name": name, "slot": slot, "text": text })
        }
    };
    value.to_string()
}
