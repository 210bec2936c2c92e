//! A picture of what was measured.

use std::collections::BTreeSet;

use plotters::prelude::*;

use super::measure::Measured;
use crate::plot::{Area, COLOURS, Drawn, GRID, INK, framed, range, text};
use crate::run::RecordError;

/// Draws milliseconds over the size of the batch as SVG, both logarithmic: a line for each dimension of the embedding,
/// and lighter ones for the rival.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn draw(title: &str, rows: &[Measured], against: Option<&str>) -> Result<String, RecordError> {
    let dimensions: BTreeSet<i64> = rows.iter().map(|row| row.dimension).collect();
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for dimension in dimensions {
        let of = |value: fn(&Measured) -> Option<f64>| -> Vec<(f64, f64)> {
            let rows = rows.iter().filter(|row| row.dimension == dimension);
            let mut points: Vec<_> =
                rows.filter_map(|row| Some(((row.batch as f64).log2(), value(row)?.log10()))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            points
        };
        lines.push((format!("D = {dimension}"), of(|row| row.milliseconds)));
        if let Some(against) = against {
            lines.push((format!("{against}, D = {dimension}"), of(|row| row.against_milliseconds)));
        }
    }
    let names: Vec<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
    Ok(framed(title, &names, |area| chart(area, &lines))?)
}

fn chart(area: &Area<'_>, lines: &[(String, Vec<(f64, f64)>)]) -> Drawn {
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let (x, y) = (range(points().map(|(x, _)| x), 0.05), range(points().map(|(_, y)| y), 0.05));
    let mut chart =
        ChartBuilder::on(area).margin(16).x_label_area_size(44).y_label_area_size(64).build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(text(13))
        .axis_desc_style(text(14))
        .x_labels(6)
        .x_desc("images in the batch (logarithmic)")
        .y_desc("milliseconds (logarithmic)")
        .x_label_formatter(&|x| format!("{:.0}", x.exp2()))
        .y_label_formatter(&|y| figure(10_f64.powf(*y)))
        .draw()?;
    for ((_, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    Ok(())
}

/// Milliseconds with two or three digits.
fn figure(milliseconds: f64) -> String {
    if milliseconds >= 10.0 { format!("{milliseconds:.0}") } else { format!("{milliseconds:.2}") }
}
