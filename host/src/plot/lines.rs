//! Line plots as SVG text.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::PlotError;
use super::axes::{Axes, chart, range};
use super::frame::{Area, COLOURS, Drawn, framed};

/// One line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points (x, y), in the order in which they are joined. A point that is not finite, or beyond 1e30, leaves a
    /// gap.
    pub points: Vec<(f64, f64)>,
}

/// Draws `series` over common axes: an SVG image of 800 x 400 pixels as text. With two series or more there is a legend
/// to the right of the lines.
///
/// # Errors
/// The plotter refuses.
pub fn lines(series: &[Series], title: &str, axes: Axes<'_>) -> Result<String, PlotError> {
    let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
    framed(title, &names, |area| draw(area, series, axes))
}

fn draw(area: &Area<'_>, series: &[Series], axes: Axes<'_>) -> Drawn {
    let all = || series.iter().flat_map(|series| series.points.iter().filter(|point| drawable(point)));
    let (width, height) = (range(all().map(|point| point.0), 0.0), range(all().map(|point| point.1), 0.05));
    let mut chart = chart(area, axes, RangedCoordf64::from(width.clone()), height.clone())?;
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        for part in series.points.split(|point| !drawable(point)) {
            chart.draw_series(LineSeries::new(part.iter().copied(), colour.stroke_width(2)))?;
            // Single points, and lines with few of them, are marked.
            if part.len() <= 30 {
                chart.draw_series(part.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
            }
        }
    }
    Ok(())
}

/// Whether a point can be drawn. Beyond 1e30 no axis can show anything else.
fn drawable((x, y): &(f64, f64)) -> bool {
    x.abs() < 1e30 && y.abs() < 1e30
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec() }
    }

    const AXES: Axes<'_> = Axes { x: "epoch", y: "MAP@R" };

    #[test]
    fn names_are_in_the_picture_and_escaped() {
        let both = [series("loss <a> & b", &[(0.0, 1.0), (1.0, 0.5)]), series("other", &[(0.0, 0.2), (1.0, 0.3)])];
        let svg = lines(&both, "A & B", AXES).unwrap();
        for text in ["epoch", "MAP@R", "loss &lt;a&gt; &amp; b", "other", "A &amp; B"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg, lines(&both, "A & B", AXES).unwrap());
    }

    #[test]
    fn a_point_that_is_not_finite_leaves_a_gap() {
        let points: Vec<(f64, f64)> = (0..90).map(|x| (f64::from(x), if x == 45 { f64::NAN } else { 1.0 })).collect();
        let svg = lines(&[series("a", &points)], "gap", AXES).unwrap();
        assert!(!svg.contains("NaN"));
        let colour = "stroke=\"#0072B2\"";
        assert_eq!(svg.matches(colour).count(), 2, "{svg}");
    }

    #[test]
    fn any_data_makes_a_picture() {
        for points in [vec![], vec![(1.0, 5.0)], vec![(0.0, 0.0), (0.0, 0.0)], vec![(f64::NAN, f64::INFINITY)]] {
            assert!(lines(&[series("a", &points)], "few", AXES).unwrap().contains("</svg>"));
        }
        assert!(lines(&[], "none", AXES).unwrap().contains("</svg>"));
        let wide = [(0.0, -f64::MAX), (1.0, f64::MAX), (2.0, 1e29), (3.0, -1e29)];
        assert!(lines(&[series("a", &wide)], "wide", AXES).unwrap().contains("</svg>"));
        let narrow = [(0.0, 1e20), (1.0, 1e20 + 16384.0), (2.0, 1e20 + 32768.0)];
        assert!(lines(&[series("a", &narrow)], "narrow", AXES).unwrap().contains("</svg>"));
    }
}
