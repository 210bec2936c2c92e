//! `lossmith runs show`.

use std::path::Path;

use comfy_table::{Table, presets};
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::run::{self, Direction, Event, Lines, Row, RowKind, Run};

pub(super) fn show(path: &Path, json: bool) -> Result<(), CliError> {
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
    if manifest.data.is_empty() {
        output::line("a session in a loop of its own: data, network and what was measured are not here")?;
    }
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
        let of_session = manifest.data.is_empty() && matches!(entry.event, Event::Rollback { .. });
        if of_session || matches!(entry.event, Event::StoppedEarly { .. } | Event::DataChanged { .. }) {
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
