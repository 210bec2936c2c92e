//! `lossmith runs diff`.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{CellAlignment, presets};
use serde_json::json;

use super::curves;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::output_path::may_write;
use crate::experiment::{Experiment, Source};
use crate::run::{self, Change, Comparison, PluginEntry, RowKind, Run};
use crate::session::edit;

/// A comparison in words.
pub(super) fn told(comparison: &Comparison) -> String {
    let Comparison { equal, different, first, equal_tensors, different_tensors, not_finite } = comparison;
    let mut text = if *equal_tensors + different_tensors.len() > 0 {
        format!("{equal} numbers and {equal_tensors} tensors of checkpoints are equal to the last bit")
    } else {
        format!("{equal} numbers are equal to the last bit")
    };
    if !not_finite.is_empty() {
        text += &format!("\nnot finite: {}", not_finite.join(", "));
    }
    if comparison.is_equal() {
        return text;
    }
    if let Some(first) = first {
        text += &format!("\n{different} numbers differ");
        let shown = |value: Option<f64>| value.map_or("nothing".to_owned(), |value| value.to_string());
        text += &format!(
            "; the first: {} of the {} row after step {}: {} and {}",
            first.name,
            first.kind,
            first.step,
            shown(first.first),
            shown(first.second)
        );
    }
    if !different_tensors.is_empty() {
        text += &format!("\ntensors that differ: {}", different_tensors.join(", "));
    }
    text
}

/// Show what differs between two runs: configuration, components by epoch, metrics.
#[derive(Args, Debug)]
pub(in crate::cli) struct DiffArgs {
    /// A run's folder.
    first: PathBuf,
    /// Another one.
    second: PathBuf,
    /// Show a metric of both, epoch by epoch: `map-at-r`, `loss`. May be repeated.
    #[arg(long, value_name = "NAME")]
    metric: Vec<String>,
    /// Draw these metrics, one picture below the other, into an HTML page, NAME.html. Default: the loss and what
    /// `evaluation.best` names.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Compare the tensors of checkpoints, too.
    #[arg(long)]
    tensors: bool,
}

pub(super) fn diff(args: &DiffArgs, json: bool) -> Result<(), CliError> {
    if let Some(path) = &args.plot {
        may_write("--plot", path, &["html"])?;
    }
    let (first, second) = (Run::open(&args.first)?, Run::open(&args.second)?);
    let changed = |number: &dyn Fn(&Run) -> Result<u64, CliError>| {
        let (first, second) = (experiment(&first, number(&first)?)?, experiment(&second, number(&second)?)?);
        edit::changes(&first, &second).map_err(CliError::json)
    };
    let changes = changed(&|_| Ok(0))?;
    let at_the_end = changed(&|run| Ok(run.timeline()?.last_key_value().map_or(0, |(_, revision)| *revision)))?;
    let revisions = (first.revisions()?, second.revisions()?);
    let until = first.summary()?.step.min(second.summary()?.step);
    let comparison = if args.tensors {
        run::compare(&first, &second, until)?
    } else {
        run::compare_numbers(&first, &second, until)?
    };
    let shown = curves::side_by_side(&first, &second, &args.metric, args.plot.is_some())?;
    if let Some(path) = &args.plot {
        curves::draw(path, &shown, [first.name(), second.name()])?;
    }
    let evaluations = (evaluation(&first)?, evaluation(&second)?);
    if json {
        let part = |revisions: &[(u64, u64, Vec<PluginEntry>)]| {
            let part = |(epoch, revision, plugins): &(_, _, _)| {
                json!({
                    "epoch": epoch, "revision": revision, "plugins": plugins,
                })
            };
            revisions.iter().map(part).collect::<Vec<_>>()
        };
        return output::json(&json!({
            "configuration": changes, "configuration-at-the-end": at_the_end,
            "revisions": [part(&revisions.0), part(&revisions.1)], "compared-until-step": until,
            "comparison": comparison, "evaluation": [evaluations.0, evaluations.1],
            "metrics": shown,
        }));
    }
    let told_changes = |title: &str, changes: &[Change]| {
        output::line(title)?;
        let lines = if changes.is_empty() { vec!["the same".to_owned()] } else { vec![] };
        lines
            .into_iter()
            .chain(changes.iter().map(ToString::to_string))
            .try_for_each(|line| output::line(&format!("  {line}")))
    };
    told_changes("configuration", &changes)?;
    if at_the_end != changes {
        told_changes("\nconfiguration at the end, after edits", &at_the_end)?;
    }
    output::line("\ncomponents")?;
    for (run, revisions) in [(&first, &revisions.0), (&second, &revisions.1)] {
        output::line(&format!("  {}", run.name()))?;
        for (epoch, revision, plugins) in revisions {
            let plugins = plugins.iter().map(|plugin| {
                format!("{} {} ({})", plugin.slot, plugin.strategy, plugin.hash.get(..12).unwrap_or_default())
            });
            let plugins = plugins.collect::<Vec<_>>().join(", ");
            output::line(&format!("    from epoch {} on, revision {revision}: {plugins}", epoch.saturating_add(1)))?;
        }
    }
    output::line(&format!("\nmetrics up to step {until}\n  {}", told(&comparison).replace('\n', "\n  ")))?;
    let mut table = output::table(presets::NOTHING);
    table.set_header(["last evaluation", &first.name(), &second.name(), "difference"]);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    for (name, value) in &evaluations.0 {
        if let Some(other) = evaluations.1.get(name) {
            table.add_row([
                name.clone(),
                format!("{value:.4}"),
                format!("{other:.4}"),
                format!("{:+.4}", other - value),
            ]);
        }
    }
    if !table.is_empty() {
        output::line(&format!("\n{table}"))?;
    }
    for metric in shown.iter().filter(|_| !args.metric.is_empty()) {
        output::line(&format!("\n{}", curves::table(metric, [&first.name(), &second.name()])))?;
    }
    args.plot.as_ref().map_or(Ok(()), |path| output::line(&format!("\nthe curves: {}", path.display())))
}

/// The experiment of a run's revision.
fn experiment(run: &Run, revision: u64) -> Result<Experiment, CliError> {
    Ok(Source::read(&run.revision(revision)?.experiment, &[])?.parse()?)
}

fn evaluation(run: &Run) -> Result<std::collections::BTreeMap<String, f64>, CliError> {
    let rows = run.metrics()?.rows;
    Ok(rows.into_iter().rfind(|row| row.kind == RowKind::Evaluation).map(|row| row.values).unwrap_or_default())
}
