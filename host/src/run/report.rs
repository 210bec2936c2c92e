//! `report.html`: a page that shows what ran and what came out, with nothing loaded from elsewhere.

use std::path::PathBuf;

use lossmith_run::{Confusion, Entry, Event, Manifest, Row, RowKind, Run, RunError, RunSummary};

use super::RecordError;
use super::curves::{marks, series};
use super::html::escape;
use super::report_results::results;
use crate::plot::{self, Axes, Mark};

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#333}\
table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.25rem 1rem .25rem 0;border-bottom:1px \
solid #ddd;vertical-align:top}.n{text-align:right;font-variant-numeric:tabular-nums}\
code,pre{font-size:.85rem;overflow-wrap:anywhere}\
pre{background:#f6f6f6;padding:1rem;overflow-x:auto}svg{max-width:100%;height:auto}";

/// Writes `report.html` from what is in the run directory, and returns its path. It can be written again at any time.
///
/// # Errors
/// A file of the run cannot be read, or there is no room.
pub fn write(run: &Run) -> Result<PathBuf, RecordError> {
    let journal = run.journal()?.rows;
    let mut html = page(&run.summary()?, &run.manifest()?, &run.experiment()?, &run.metrics()?.rows, &journal)?;
    html += &classification(&run.confusions()?)?;
    html += &changed_data(&journal);
    html += &history(run)?;
    html += "</body></html>\n";
    let path = run.path().join("report.html");
    lossmith_files::replace(&path, html.as_bytes()).map_err(RunError::io("write", &path))?;
    Ok(path)
}

fn page(
    summary: &RunSummary,
    manifest: &Manifest,
    experiment: &str,
    rows: &[Row],
    journal: &[Entry],
) -> Result<String, RecordError> {
    let name = escape(&summary.name);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{name}</h1>\n"
    );
    html += &facts(summary, manifest, experiment);
    html += &plugins(manifest);
    let (at_steps, at_epochs) = (marks(journal, RowKind::Step), marks(journal, RowKind::Epoch));
    let loss = series(rows, RowKind::Step, |name| name == "loss");
    if !loss.is_empty() {
        html += "<h2>Training</h2>\n";
        html += &plot::lines(&loss, "Loss", Axes { x: "step", y: "loss" }, &at_steps)?;
    }
    html += &imbalance(rows, &at_steps)?;
    // Four lines can be told apart; the table has the rest. The test part is measured once and makes no line.
    const DRAWN: [&str; 4] = ["precision-at-1", "r-precision", "map-at-r", "nmi"];
    let drawn = |name: &str| name.strip_prefix("validation/").is_some_and(|name| DRAWN.contains(&name));
    let metrics = series(rows, RowKind::Evaluation, drawn);
    if !metrics.is_empty() {
        html += "<h2>Evaluation</h2>\n";
        let axes = Axes { x: "epoch", y: "value (0 to 1)" };
        html += &plot::lines(&metrics, "Validation part after each epoch", axes, &at_epochs)?;
    }
    let results = results(rows);
    if !results.is_empty() {
        html += if metrics.is_empty() { "<h2>Evaluation</h2>\n" } else { "" };
        html += &results;
    }
    html += &slices(rows, &at_epochs)?;
    html += &format!("<h2>Experiment</h2>\n<pre>{}</pre>\n", escape(experiment));
    Ok(html)
}

/// The slices of the embedding, where there are few enough to be told apart: what each finds, and its threshold.
fn slices(rows: &[Row], marks: &[Mark]) -> Result<String, RecordError> {
    let found =
        series(rows, RowKind::Evaluation, |name| name.starts_with("validation/slice.") && name.ends_with("map-at-r"));
    let thresholds = series(rows, RowKind::Epoch, |name| name.contains(".schedule/threshold."));
    let mut html = String::new();
    for (series, title, axes) in [
        (found, "Validation part, each slice by itself", Axes { x: "epoch", y: "MAP@R" }),
        (thresholds, "Thresholds", Axes { x: "epoch", y: "threshold" }),
    ] {
        if (1..=plot::COLOURS.len()).contains(&series.len()) {
            html += if html.is_empty() { "<h2>Slices</h2>\n" } else { "" };
            html += &plot::lines(&series, title, axes, marks)?;
        }
    }
    Ok(html)
}

/// Which classes were taken for which: of the test part, or of the validation part before that was measured.
fn classification(confusions: &[Confusion]) -> Result<String, RecordError> {
    let of = |part: &str| confusions.iter().filter(|row| row.part == part).collect::<Vec<_>>();
    let shown = Some(of("test")).filter(|rows| !rows.is_empty()).unwrap_or_else(|| of("validation"));
    let mut html = String::new();
    for Confusion { part, classifier, epoch, classes, confusion, .. } in shown {
        if html.is_empty() {
            html += "<h2>Classification</h2>\n";
        }
        html += &plot::confusion::draw(&format!("{classifier}, {part} part, epoch {epoch}"), classes, confusion)?;
    }
    Ok(html)
}

/// Where the run went on with changed data.
fn changed_data(journal: &[Entry]) -> String {
    let changes: Vec<String> = journal
        .iter()
        .filter(|entry| matches!(entry.event, Event::DataChanged { .. }))
        .map(|entry| entry.event.to_string())
        .collect();
    if changes.is_empty() {
        return String::new();
    }
    format!("<h2>Changed data</h2>\n<pre>{}</pre>\n", escape(&changes.join("\n")))
}

/// What was edited while the run went on, what each edit changed, and what was undone.
fn history(run: &Run) -> Result<String, RecordError> {
    let journal = run.journal()?.rows;
    let edits = journal.iter().filter(|entry| matches!(entry.event, Event::Swap { .. } | Event::Rollback { .. }));
    let edits: Vec<String> = edits
        .map(|entry| {
            format!("{}  {}", entry.time.strftime("%H:%M:%S"), entry.event.to_string().replace('\n', "\n          "))
        })
        .collect();
    if edits.is_empty() {
        return Ok(String::new());
    }
    let changes: Vec<String> = run.history()?.iter().map(ToString::to_string).collect();
    let mut html = format!("<h2>Edits while it ran</h2>\n<pre>{}</pre>\n", escape(&edits.join("\n")));
    if !changes.is_empty() {
        html += &format!("<h3>What each revision changed</h3>\n<pre>{}</pre>\n", escape(&changes.join("\n")));
    }
    Ok(html)
}

/// The intra-class half of each transfer: its shares, and its weight.
fn imbalance(rows: &[Row], marks: &[Mark]) -> Result<String, RecordError> {
    let shares = series(rows, RowKind::Step, |name| name.ends_with("-share") && name.contains("intra-"));
    if shares.is_empty() {
        return Ok(String::new());
    }
    let axes = Axes { x: "step", y: "share (0 to 1)" };
    let mut html = String::from("<h2>Imbalance</h2>\n");
    html += &plot::lines(&shares, "Share of the pairs of one class (intra)", axes, marks)?;
    let weights = series(rows, RowKind::Step, |name| name.ends_with("/intra-weight"));
    if !weights.is_empty() {
        let axes = Axes { x: "step", y: "weight" };
        html += &plot::lines(&weights, "Weight of an intra pair, an inter pair being 1", axes, marks)?;
    }
    Ok(html)
}

fn facts(summary: &RunSummary, manifest: &Manifest, experiment: &str) -> String {
    let Manifest { versions, .. } = manifest;
    let versions = format!(
        "lossmith {}, libtorch {}, tch {}, wasmtime {}",
        versions.lossmith, versions.libtorch, versions.tch, versions.wasmtime
    );
    let rows = [
        ("Status", format!("{}, {} epochs, {} steps", summary.status, summary.epoch, summary.step)),
        ("Started", manifest.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        ("Seed", manifest.seed.to_string()),
        ("Device", format!("{}, {} threads", manifest.device, manifest.threads)),
        ("Data", data(experiment, &manifest.data)),
        ("Versions", versions),
        ("Commit", manifest.commit.clone().unwrap_or_else(|| "none".to_owned())),
        ("Command", manifest.command.join(" ")),
    ];
    let mut html = String::from("<table>\n");
    for (name, value) in rows {
        html += &format!("<tr><th>{name}</th><td>{}</td></tr>\n", escape(&value));
    }
    html + "</table>\n"
}

/// The data in words, with the beginning of its digest.
fn data(experiment: &str, digest: &str) -> String {
    let table = toml::from_str::<toml::Table>(experiment).ok();
    let data = table.as_ref().and_then(|table| table.get("data"));
    let of = |key: &str| data.and_then(|data| data.get(key)).and_then(toml::Value::as_str);
    let digest = digest.get(..12).unwrap_or(digest);
    let words = [of("kind").or_else(|| of("name")), of("path")].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if words.is_empty() { format!("content {digest}") } else { format!("{words} (content {digest})") }
}

fn plugins(manifest: &Manifest) -> String {
    if manifest.plugins.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<h2>Plugins</h2>\n<table>\n<tr><th>Slot</th><th>Role</th><th>Strategy</th><th>SHA-256</th></tr>\n",
    );
    for plugin in &manifest.plugins {
        let cells = [&plugin.slot, &plugin.role, &plugin.strategy].map(|text| format!("<td>{}</td>", escape(text)));
        html += &format!("<tr>{}<td><code>{}</code></td></tr>\n", cells.concat(), escape(&plugin.hash));
    }
    html + "</table>\n"
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use lossmith_run::{PluginEntry, Versions};

    fn manifest() -> Manifest {
        let plugin = |role: &str, strategy: &str, hash: &str| PluginEntry {
            slot: format!("objective.0.{role}"),
            role: role.into(),
            strategy: strategy.into(),
            hash: hash.repeat(32),
        };
        Manifest {
            name: "fashion-triplet".into(),
            started: "2025-01-31T14:05:02Z".parse().unwrap(),
            command: ["lossmith", "train", "a <b>.toml"].map(String::from).to_vec(),
            versions: Versions::current("2.13.0".into()),
            seed: 17,
            device: "cpu".into(),
            threads: 2,
            data: "fashion-mnist 3f2a".into(),
            data_path: None,
            commit: None,
            preprocessing: None,
            plugins: vec![plugin("loss", "triplet", "a1"), plugin("miner", "batch-hard", "b2")],
            teacher: None,
            files: Vec::new(),
            experiment: None,
            sets: Vec::new(),
            parent: None,
        }
    }

    /// A run with curves as a training has them.
    fn run(root: &std::path::Path) -> Run {
        let run = Run::create(root, "fashion-triplet").unwrap();
        run.record(Event::Started { process: None }).unwrap();
        run.write_manifest(&manifest()).unwrap();
        run.write_experiment("name = \"fashion-triplet\"\nseed = 17\n\n[data]\nname = \"<fashion-mnist>\"\n").unwrap();
        let mut metrics = run.open_metrics().unwrap();
        let mut write = |kind, epoch, step, values: &[(&str, f64)]| {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            metrics.write(&Row { kind, epoch, step, values }).unwrap();
        };
        for step in (0..6000_u64).step_by(5) {
            let at = step as f64 / 6000.0;
            let loss = 0.9 * (-3.0 * at).exp() + 0.08 * (step as f64 * 0.7).sin() * (1.0 - 0.5 * at);
            write(RowKind::Step, step / 500, step, &[("loss", loss), ("rate", 1e-3)]);
            if step % 500 == 495 {
                let epoch = step / 500 + 1;
                let grown = |from: f64, to: f64| to - (to - from) * (-(epoch as f64) / 3.0).exp();
                let map = grown(0.3, 0.66);
                let values = [
                    ("validation/map-at-r", map),
                    ("validation/macro-map-at-r", map - 0.05),
                    ("validation/nmi", grown(0.4, 0.72)),
                    ("validation/precision-at-1", grown(0.6, 0.87)),
                    ("validation/r-precision", map + 0.05),
                    ("validation/recall-at-1", grown(0.6, 0.87)),
                    ("validation/recall-at-2", grown(0.7, 0.92)),
                    ("validation/recall-at-4", grown(0.8, 0.95)),
                    ("validation/recall-at-8", grown(0.85, 0.97)),
                ];
                write(RowKind::Evaluation, epoch, step, &values);
            }
        }
        run.record(Event::Finished { epoch: 12, step: 6000 }).unwrap();
        run
    }

    #[test]
    fn a_page_says_what_ran_and_what_came_out() {
        let root = tempfile::tempdir().unwrap();
        let run = run(root.path());
        let html = std::fs::read_to_string(write(&run).unwrap()).unwrap();
        let hash = "a1".repeat(32);
        for text in [
            "finished, 12 epochs, 6000 steps",
            "17",
            hash.as_str(),
            "batch-hard",
            "map-at-r",
            "Loss",
            "a &lt;b&gt;.toml",
            "&lt;fashion-mnist&gt; (content fashion-mnis)",
        ] {
            assert!(html.contains(text), "{text} is missing");
        }
        assert!(html.contains("&lt;fashion-mnist&gt;") && !html.contains("<fashion"));
        assert_eq!(html.matches("<svg").count(), 2);
        // Nothing comes from elsewhere: the only address is the name space of SVG.
        assert_eq!(html.matches("http").count(), html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
        assert!(!html.contains("<script") && !html.contains("src="));
    }

    #[test]
    fn a_run_without_measurements_has_a_page() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "empty").unwrap();
        run.record(Event::Failed { error: "no data".into() }).unwrap();
        run.write_manifest(&manifest()).unwrap();
        run.write_experiment("").unwrap();
        let html = std::fs::read_to_string(write(&run).unwrap()).unwrap();
        assert!(html.contains("failed, 0 epochs") && !html.contains("<svg"));
    }
}
