//! The frame of a plot: title, legend, colours and letters.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;

/// Width and height of a plot, in pixels.
const SIZE: (u32, u32) = (800, 400);

/// Height of the title, and width of what is to the right of a chart without a legend.
pub(crate) const HEADING: u32 = 38;
pub(crate) const MARGIN: u32 = 24;

/// Colours that people with the usual kinds of colour blindness can tell apart: those of Okabe and Ito ("Color
/// Universal Design") without yellow, and three darker ones.
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

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// An image as SVG text: the title, what `chart` draws below it, and to the right of that a legend of `names` in the
/// order of [`COLOURS`], if there are two or more.
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

pub(crate) fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}
