//! Line plots as SVG text.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;

/// Width and height of a plot, in pixels.
const SIZE: (u32, u32) = (800, 400);

/// Height of the title, and width of what is to the right of a chart without a legend.
pub(crate) const HEADING: u32 = 38;
pub(crate) const MARGIN: u32 = 24;

/// Colours that people with the usual kinds of colour blindness can tell apart: those of Okabe and Ito ("Color Universal
/// Design") without yellow, and three darker ones.
pub(crate) const COLOURS: [RGBColor; 10] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(136, 34, 85),
    RGBColor(51, 34, 136),
    RGBColor(102, 102, 0),
];
pub(crate) const INK: RGBColor = RGBColor(51, 51, 51);
pub(crate) const GRID: RGBColor = RGBColor(225, 225, 225);

/// One line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points (x, y), in the order in which they are joined. A point that is not finite, or beyond 1e30, leaves a gap.
    pub points: Vec<(f64, f64)>,
}

/// What the axes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes<'a> {
    /// Name of the horizontal axis, with its unit.
    pub x: &'a str,
    /// Name of the vertical axis, with its unit.
    pub y: &'a str,
}

/// A place on the horizontal axis where something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The place.
    pub at: f64,
    /// What happened, in a word or two.
    pub name: String,
}

/// More marks are drawn without their names.
const NAMED: usize = 12;

/// Draws `series` over common axes: an SVG image of 800 x 400 pixels as text. With two series or more there is a legend to the
/// right of the lines. Each of the `marks` is a dashed vertical line with its name at the top.
///
/// # Errors
/// The plotter refuses.
pub fn lines(series: &[Series], title: &str, axes: Axes<'_>, marks: &[Mark]) -> Result<String, PlotError> {
    let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
    framed(title, &names, |area| draw(area, series, axes, marks))
}

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// An image as SVG text: the title, what `chart` draws below it, and to the right of that a legend of `names` in the order of
/// [`COLOURS`], if there are two or more.
pub(crate) fn framed(title: &str, names: &[&str], chart: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, PlotError> {
    framed_in(SIZE, title, names, chart)
}

/// As [`framed`], in a picture of another width and height.
pub(crate) fn framed_in(
    size: (u32, u32),
    title: &str,
    names: &[&str],
    chart: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    frame(&area, title, names, chart)
        .and_then(|()| area.present())
        .map_err(|error| PlotError { title: title.to_owned(), reason: error.to_string() })?;
    drop(area);
    Ok(svg)
}

fn frame(area: &Area<'_>, title: &str, names: &[&str], chart: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn {
    area.fill(&WHITE)?;
    let heading = text(20).pos(Pos::new(HPos::Left, VPos::Top));
    area.draw(&Text::new(title, (16, 12), heading))?;
    let (_, below) = area.split_vertically(HEADING);
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // A letter is about 8 pixels wide; the line before it and the margins take 56.
    let legend = if names.len() > 1 { 56 + 8 * longest as u32 } else { MARGIN };
    let (left, right) = below.split_horizontally(area.dim_in_pixel().0.saturating_sub(legend));
    chart(&left)?;
    if names.len() > 1 {
        for ((name, colour), row) in names.iter().zip(COLOURS.iter().cycle()).zip(0..) {
            let y = 16 + 22 * row;
            right.draw(&PathElement::new([(10, y), (34, y)], colour.stroke_width(3)))?;
            right.draw(&Text::new(*name, (42, y), text(15).pos(Pos::new(HPos::Left, VPos::Center))))?;
        }
    }
    Ok(())
}

fn draw(area: &Area<'_>, series: &[Series], axes: Axes<'_>, marks: &[Mark]) -> Drawn {
    let all = || series.iter().flat_map(|series| series.points.iter().filter(|point| drawable(point)));
    let (width, height) = (range(all().map(|point| point.0), 0.0), range(all().map(|point| point.1), 0.05));
    let mut chart = ChartBuilder::on(area)
        .margin_right(8)
        .x_label_area_size(52)
        .y_label_area_size(76)
        .build_cartesian_2d(width.clone(), height.clone())?;
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
        .x_label_formatter(&|at| number(*at))
        .y_label_formatter(&|at| number(*at))
        .draw()?;
    for Mark { at, name } in marks.iter().filter(|mark| width.contains(&mark.at)) {
        let ends = [(*at, height.start), (*at, height.end)];
        chart.draw_series(DashedLineSeries::new(ends, 5, 4, INK.stroke_width(1)))?;
        if marks.len() <= NAMED {
            // Towards the middle, so that no name leaves the picture.
            let side = if *at < f64::midpoint(width.start, width.end) { HPos::Left } else { HPos::Right };
            let style = text(13).pos(Pos::new(side, VPos::Top));
            chart.draw_series(std::iter::once(Text::new(format!(" {name} "), (*at, height.end), style)))?;
        }
    }
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

pub(crate) fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Whether a point can be drawn. Beyond 1e30 no axis can show anything else.
fn drawable((x, y): &(f64, f64)) -> bool {
    x.abs() < 1e30 && y.abs() < 1e30
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
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.to_owned(), points: points.to_vec() }
    }

    const AXES: Axes<'_> = Axes { x: "epoch", y: "MAP@R" };

    #[test]
    fn names_are_in_the_picture_and_escaped() {
        let both = [series("loss <a> & b", &[(0.0, 1.0), (1.0, 0.5)]), series("other", &[(0.0, 0.2), (1.0, 0.3)])];
        let svg = lines(&both, "A & B", AXES, &[]).unwrap();
        for text in ["epoch", "MAP@R", "loss &lt;a&gt; &amp; b", "other", "A &amp; B"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg, lines(&both, "A & B", AXES, &[]).unwrap());
    }

    #[test]
    fn a_point_that_is_not_finite_leaves_a_gap() {
        let points: Vec<(f64, f64)> = (0..90).map(|x| (f64::from(x), if x == 45 { f64::NAN } else { 1.0 })).collect();
        let svg = lines(&[series("a", &points)], "gap", AXES, &[]).unwrap();
        assert!(!svg.contains("NaN"));
        let colour = "stroke=\"#0072B2\"";
        assert_eq!(svg.matches(colour).count(), 2, "{svg}");
    }

    #[test]
    fn any_data_makes_a_picture() {
        for points in [vec![], vec![(1.0, 5.0)], vec![(0.0, 0.0), (0.0, 0.0)], vec![(f64::NAN, f64::INFINITY)]] {
            assert!(lines(&[series("a", &points)], "few", AXES, &[]).unwrap().contains("</svg>"));
        }
        assert!(lines(&[], "none", AXES, &[]).unwrap().contains("</svg>"));
        let wide = [(0.0, -f64::MAX), (1.0, f64::MAX), (2.0, 1e29), (3.0, -1e29)];
        assert!(lines(&[series("a", &wide)], "wide", AXES, &[]).unwrap().contains("</svg>"));
        let narrow = [(0.0, 1e20), (1.0, 1e20 + 16384.0), (2.0, 1e20 + 32768.0)];
        assert!(lines(&[series("a", &narrow)], "narrow", AXES, &[]).unwrap().contains("</svg>"));
    }

    #[test]
    fn marks_are_dashed_lines_with_names_inside_the_picture() {
        let curve = [series("a", &[(0.0, 0.0), (100.0, 1.0)])];
        let mark = |at: f64| Mark { at, name: format!("<r{at}>") };
        let svg = lines(&curve, "marked", AXES, &[mark(20.0), mark(80.0), mark(120.0)]).unwrap();
        assert!(svg.contains("&lt;r20&gt;") && svg.contains("&lt;r80&gt;") && !svg.contains("r120"), "{svg}");
        let many: Vec<Mark> = (0..40).map(|at| mark(f64::from(at))).collect();
        let svg = lines(&curve, "marked", AXES, &many).unwrap();
        assert!(!svg.contains("&lt;r1&gt;") && svg.len() > lines(&curve, "marked", AXES, &[]).unwrap().len());
    }

    #[test]
    fn numbers_of_an_axis_are_short() {
        let texts = [0.0, 0.25, 1200.0, 1e-5, -2.5e7, 0.1 + 0.2, 1e-17].map(number);
        assert_eq!(texts, ["0", "0.25", "1200", "1.0e-5", "-2.5e7", "0.3", "0"]);
    }
}
