//! The plot of a bench: milliseconds over the size of the batch.

use std::collections::BTreeSet;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::measure::Measurement;
use crate::plot::{Area, Axes, COLOURS, Drawn, Label, chart_labelled, framed, range};
use crate::run::RecordError;

/// Draws milliseconds over the size of the batch as SVG, both logarithmic: a line for each dimension of the embedding,
/// and lighter ones for the rival.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn draw(title: &str, rows: &[Measurement], against: Option<&str>) -> Result<String, RecordError> {
    let dimensions: BTreeSet<i64> = rows.iter().map(|row| row.dimension).collect();
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for dimension in dimensions {
        let of = |value: fn(&Measurement) -> Option<f64>| -> Vec<(f64, f64)> {
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
    let axes = Axes { x: "images in the batch (logarithmic)", y: "milliseconds (logarithmic)" };
    let labels: [Label<'_>; 2] = [&|x| format!("{:.0}", x.exp2()), &|y| figure(10_f64.powf(*y))];
    let mut chart = chart_labelled(area, axes, RangedCoordf64::from(x), y, labels)?;
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
