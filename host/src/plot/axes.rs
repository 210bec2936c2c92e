//! Axes of plots.

use std::ops::Range;

/// What the axes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes<'a> {
    /// Name of the horizontal axis, with its unit.
    pub x: &'a str,
    /// Name of the vertical axis, with its unit.
    pub y: &'a str,
}

/// From the least to the greatest value, widened by a share of `margin` at both ends. It is never so narrow that its labels
/// would be equal.
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
