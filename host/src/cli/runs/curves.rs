//! Metrics of two runs beside each other: as a table, and as a page of curves.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use lossmith_plugin::suggest::nearest;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::plot::{self, Axes, Series};
use crate::run::{self, Direction, RecordError, Run, RunError, SideBySide};

/// The metrics that are asked for; without any, if they are to be drawn, the loss and the metric of the best
/// checkpoint.
pub(super) fn side_by_side(
    first: &Run,
    second: &Run,
    metrics: &[String],
    drawn: bool,
) -> Result<Vec<SideBySide>, CliError> {
    let rows = [first.metrics()?.rows, second.metrics()?.rows];
    let [first_rows, second_rows] = &rows;
    if metrics.is_empty() {
        let usual = ["loss".to_owned(), first.best_metric()].into_iter().filter(|_| drawn);
        return Ok(usual.filter_map(|metric| run::side_by_side(&metric, first_rows, second_rows).ok()).collect());
    }
    let found = |metric: &String| {
        run::side_by_side(metric, first_rows, second_rows).map_err(|known| {
            let known: Vec<String> = known.into_iter().collect();
            let help = match nearest(metric, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            CliError::Usage(format!("neither run has the metric `{metric}` of epochs; {help}"))
        })
    };
    metrics.iter().map(found).collect()
}

/// A row for each epoch.
pub(super) fn table(SideBySide { metric, epochs }: &SideBySide, names: [&str; 2]) -> Table {
    let mut table = output::table(presets::NOTHING);
    let direction = Direction::of(metric).map_or(String::new(), |direction| format!(", {direction}"));
    let [first, second] = names.map(str::to_owned);
    table.set_header([format!("{metric}{direction}: epoch"), first, second, "difference".to_owned()]);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    for (epoch, [first, second]) in epochs {
        let shown = |value: &Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let difference = first.zip(*second).map_or("-".to_owned(), |(first, second)| format!("{:+.4}", second - first));
        table.add_row([epoch.to_string(), shown(first), shown(second), difference]);
    }
    table
}

/// Writes a page with a picture for each metric, a line for each run.
pub(super) fn draw(path: &Path, shown: &[SideBySide], names: [String; 2]) -> Result<(), CliError> {
    let mut html =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>two runs</title></head><body>\n"
            .to_owned();
    for SideBySide { metric, epochs } in shown {
        let line = |(at, name): (usize, &String)| {
            let points = epochs.iter().filter_map(|(epoch, values)| Some((*epoch as f64, (*values.get(at)?)?)));
            Series { name: name.clone(), points: points.collect() }
        };
        let lines: Vec<Series> = names.iter().enumerate().map(line).collect();
        let svg = plot::lines(&lines, metric, Axes { x: "epoch", y: metric });
        html += &svg.map_err(RecordError::from)?;
        html.push('\n');
    }
    html += "</body></html>\n";
    Ok(lossmith_files::replace(path, html.as_bytes()).map_err(RunError::io("write", path))?)
}
