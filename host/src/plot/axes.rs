//! Axes of plots.

use std::ops::Range;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::frame::{Area, GRID, INK, text};

/// The names of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes<'a> {
    /// Name of the horizontal axis, with its unit.
    pub x: &'a str,
    /// Name of the vertical axis, with its unit.
    pub y: &'a str,
}

/// A chart in an area.
pub(crate) type Chart<'a, X> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, RangedCoordf64>>;

/// A chart with these ranges, whose axes and grid are drawn.
pub(crate) fn chart<'a, X>(
    area: &Area<'a>,
    axes: Axes<'_>,
    width: X,
    height: Range<f64>,
) -> Result<Chart<'a, X>, DrawingAreaErrorKind<std::io::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart_labelled(area, axes, width, height, [&|at| number(*at), &|at| number(*at)])
}

/// The text of a label at a place of an axis.
pub(crate) type Label<'a> = &'a dyn Fn(&f64) -> String;

/// As [`chart`], with labels of the horizontal and of the vertical axis that say something else than the place.
pub(crate) fn chart_labelled<'a, X>(
    area: &Area<'a>,
    axes: Axes<'_>,
    width: X,
    height: Range<f64>,
    [x_label, y_label]: [Label<'_>; 2],
) -> Result<Chart<'a, X>, DrawingAreaErrorKind<std::io::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin_right(8)
        .x_label_area_size(52)
        .y_label_area_size(76)
        .build_cartesian_2d(width, height)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_desc(axes.x)
        .y_desc(axes.y)
        .axis_desc_style(text(17))
        .label_style(text(15))
        .x_labels(8)
        .y_labels(6)
        .x_label_formatter(x_label)
        .y_label_formatter(y_label)
        .draw()?;
    Ok(chart)
}

/// From the least to the greatest value, widened by a share of `margin` at both ends. It is never so narrow that its
/// labels would be equal.
pub(crate) fn range(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let (least, greatest) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), at| (a.min(at), b.max(at)));
    if least > greatest {
        return 0.0..1.0;
    }
    let (width, size) = (greatest - least, least.abs().max(greatest.abs()));
    let margin = if width > 1e-3 * size {
        margin * width
    } else if size > 0.0 {
        0.5 * size
    } else {
        0.5
    };
    least - margin..greatest + margin
}

/// A number of an axis in at most 4 digits.
pub(crate) fn number(value: f64) -> String {
    let value = if value.abs() < 1e-12 { 0.0 } else { value };
    if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_an_axis_are_short() {
        let texts = [0.0, 0.25, 1200.0, 1e-5, -2.5e7, 0.1 + 0.2, 1e-17].map(number);
        assert_eq!(texts, ["0", "0.25", "1200", "1.0e-5", "-2.5e7", "0.3", "0"]);
    }
}
