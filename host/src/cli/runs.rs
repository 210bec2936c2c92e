//! `lossmith runs` and `lossmith eval`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use comfy_table::{ColumnConstraint, Table, Width, presets};
use lossmith_plugin::Runtime;
use serde_json::json;

use super::error::CliError;
use super::{measured, output};
use crate::eval::class_name;
use crate::experiment::DeviceChoice;
use crate::run::{self, Direction, Event, Lines, Row, RowKind, Run};
use crate::train::{Elsewhere, PartName, Trained};

/// Look at runs.
#[derive(Subcommand, Debug)]
pub(super) enum RunsCommand {
    /// List the runs in a folder and in those below it.
    List {
        /// The folder.
        #[arg(default_value = "runs")]
        directory: PathBuf,
    },
    /// Show what a run is and what it measured.
    Show {
        /// The run's folder.
        run: PathBuf,
    },
    Diff(super::compare::DiffArgs),
}

/// Measure a run's network on a part of its data.
#[derive(Args, Debug)]
pub(super) struct EvalArgs {
    #[command(flatten)]
    which: Which,
}

/// A run, a checkpoint of it, and a part of its data.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The run's folder.
    run: PathBuf,
    /// The part of the data.
    #[arg(long, value_enum, default_value_t = PartName::Test)]
    part: PartName,
    /// The checkpoint: `best`, `last`, or an epoch.
    #[arg(long, default_value = "best")]
    checkpoint: String,
    #[command(flatten)]
    site: SiteArgs,
}

/// Where the run's data is, and what to compute on.
#[derive(Args, Debug)]
pub(super) struct SiteArgs {
    /// Where the data of the run is now, if it was moved.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The device to compute on: `auto`, `cpu`, `cuda:0`. Default: that of the run.
    #[arg(long, value_parser = device)]
    device: Option<DeviceChoice>,
    /// Take data that changed since the run was trained.
    #[arg(long)]
    accept_changes: bool,
}

impl SiteArgs {
    pub(super) fn elsewhere(&self) -> Elsewhere {
        let Self { data, device, accept_changes } = self;
        Elsewhere { data: data.clone(), device: device.clone(), accept_changes: *accept_changes }
    }
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    DeviceChoice::try_from(text.to_owned())
}

pub(super) fn runs(command: &RunsCommand, json: bool) -> Result<(), CliError> {
    match command {
        RunsCommand::List { directory } => list(directory, json),
        RunsCommand::Show { run } => show(run, json),
        RunsCommand::Diff(args) => super::compare::diff(args, json),
    }
}

fn list(directory: &Path, json: bool) -> Result<(), CliError> {
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
    // A name is copied from here and a number is read: neither is cut. What is too long for the line is in the last column.
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

fn show(path: &Path, json: bool) -> Result<(), CliError> {
    let run = Run::open(path)?;
    let (manifest, status, history) = (run.manifest()?, run.status()?, run.history()?);
    let Lines { rows: metrics, skipped: unread } = run.metrics()?;
    let (checkpoints, metric) = (run.kept_checkpoints()?, run.best_metric());
    let best = run::best(&metrics, &metric);
    let evaluations: Vec<_> = metrics.iter().filter(|row| row.kind == RowKind::Evaluation).collect();
    if json {
        return output::json(&json!({
            "manifest": manifest, "status": status.to_string(), "revisions": history, "metrics": metrics,
            "checkpoints": checkpoints,
            "best": best.map(|(epoch, value)| json!({ "metric": metric, "epoch": epoch, "value": value })),
        }));
    }
    output::line(&format!("{}: {status}", run.name()))?;
    output::line(&format!("started   {}", manifest.started))?;
    output::line(&format!("command   {}", manifest.command.join(" ")))?;
    let threads = if manifest.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", manifest.threads) };
    output::line(&format!("seed      {} on {} with {threads}", manifest.seed, manifest.device))?;
    output::line(&format!("commit    {}", manifest.commit.as_deref().unwrap_or("none")))?;
    if let Some(teacher) = &manifest.teacher {
        let digest = teacher.digest.get(..12).unwrap_or_default();
        output::line(&format!("teacher   {} ({digest})", teacher.name))?;
    }
    if let (Some((epoch, value)), Some(direction)) = (best, Direction::of(&metric)) {
        output::line(&format!("best      epoch {epoch}, {metric} {value:.4} ({direction})"))?;
    }
    output::line(&format!("kept      {checkpoints}"))?;
    for entry in run.journal()?.rows {
        if matches!(entry.event, Event::StoppedEarly { .. }) {
            output::line(&entry.event.to_string())?;
        }
    }
    for plugin in &manifest.plugins {
        output::line(&format!(
            "{:<18} {} ({})",
            plugin.slot,
            plugin.strategy,
            plugin.hash.get(..12).unwrap_or_default()
        ))?;
    }
    for revision in &history {
        output::line(&revision.to_string())?;
    }
    let measured = |name: &str| evaluations.iter().any(|row| row.values.keys().any(|key| key.ends_with(name)));
    let accuracies = ["linear-accuracy", "nearest-neighbours-accuracy", "class-mean-accuracy"];
    let accuracies = accuracies.into_iter().filter(|name| measured(name));
    let mut table = output::table(presets::NOTHING);
    table.set_header(["epoch", "part", "P@1", "R-precision", "MAP@R", "NMI"].into_iter().chain(accuracies.clone()));
    for row in &evaluations {
        for part in ["validation", "test"] {
            let value = |name: &str| {
                row.values.get(&format!("{part}/{name}")).map_or("-".to_owned(), |value| format!("{value:.4}"))
            };
            if value("precision-at-1") != "-" {
                let cells = ["precision-at-1", "r-precision", "map-at-r", "nmi"].into_iter().chain(accuracies.clone());
                let cells = cells.map(value);
                table.add_row([row.epoch.to_string(), part.to_owned()].into_iter().chain(cells));
            }
        }
    }
    if !table.is_empty() {
        output::line(&table.trim_fmt())?;
    }
    if !unread.is_empty() {
        let lines = unread.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        output::line(&format!("\nnot understood and left out: metrics.jsonl, line {lines}"))?;
    }
    match imbalance(&metrics) {
        Some(table) => output::line(&format!("\n{table}")),
        None => Ok(()),
    }
}

/// The halves of each transfer, epoch by epoch; none without a transfer.
fn imbalance(metrics: &[Row]) -> Option<Table> {
    let mut table = output::table(presets::NOTHING);
    table.set_header([
        "epoch",
        "transfer",
        "intra pairs",
        "inter pairs",
        "intra loss share",
        "intra gradient share",
        "intra weight",
        "balanced loss share",
        "balanced gradient share",
    ]);
    for row in metrics.iter().filter(|row| row.kind == RowKind::Epoch) {
        for place in row.values.keys().filter_map(|name| name.strip_suffix("/intra-pairs")) {
            let value = |name: &str, digits: usize| {
                let value = row.values.get(&format!("{place}/{name}"));
                value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
            };
            table.add_row([
                row.epoch.to_string(),
                place.to_owned(),
                value("intra-pairs", 0),
                value("inter-pairs", 0),
                value("intra-loss-share", 4),
                value("intra-gradient-share", 4),
                value("intra-weight", 2),
                value("balanced-intra-loss-share", 4),
                value("balanced-intra-gradient-share", 4),
            ]);
        }
    }
    (!table.is_empty()).then_some(table)
}

pub(super) fn eval(args: &EvalArgs, json: bool) -> Result<(), CliError> {
    let (mut trained, part) = open(&args.which)?;
    let mut measuring = super::measuring::Line::new();
    let evaluation = trained.evaluate(part, &mut |now| measuring.show(now));
    measuring.finish();
    let evaluation = evaluation?;
    if json {
        return output::json(&json!({
            "epoch": trained.epoch(), "part": part, "evaluation": evaluation,
            "data-changes": trained.data_changes(), "data-warnings": trained.data_warnings(),
        }));
    }
    tell_of_data(&trained)?;
    output::line(&format!("{part} part, with the weights of epoch {}:", trained.epoch()))?;
    output::line(&measured::text(&evaluation.values(trained.class_names())))?;
    let mut table = output::table(presets::NOTHING);
    table.set_header(["class", "images", "P@1", "R-precision", "MAP@R"]);
    for (class, scores) in &evaluation.retrieval.per_class {
        let numbers = [scores.precision_at_1, scores.r_precision, scores.map_at_r].map(|value| format!("{value:.4}"));
        let [p, r, map] = numbers;
        table.add_row([class_name(trained.class_names(), *class), scores.queries.to_string(), p, r, map]);
    }
    output::line(&table.trim_fmt())
}

/// What somebody should know about the data of a run before reading what was made of it.
pub(super) fn tell_of_data(trained: &Trained) -> Result<(), CliError> {
    for change in trained.data_changes() {
        output::line(&format!("the data changed since the training: {change}"))?;
    }
    for warning in trained.data_warnings() {
        output::line(&format!("the data: {warning}"))?;
    }
    Ok(())
}

pub(super) fn open(which: &Which) -> Result<(Trained, PartName), CliError> {
    let runtime = Arc::new(Runtime::new().map_err(CliError::engine)?);
    Ok((Trained::open(&which.run, &which.checkpoint, &which.site.elsewhere(), runtime)?, which.part))
}
