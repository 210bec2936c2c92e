//! A confusion matrix as SVG text.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;
use super::frame::{Area, COLOURS, Drawn, GRID, HEADING, INK, MARGIN, framed_in, text};

/// Most classes whose counts are written into the cells.
const COUNTED: usize = 20;
/// Most classes whose names are written.
const NAMED: usize = 60;
/// Letters of a name; the rest of a longer one is cut off.
const LETTERS: usize = 18;
/// Width and height of all cells together, in pixels, if there are enough of them.
const FIELD: usize = 700;
/// Largest width and height of a cell, in pixels.
const LARGEST: usize = 56;
/// Width of the title of an axis, in pixels.
const AXIS: i32 = 34;
const FAINT: RGBColor = RGBColor(150, 150, 150);

/// The layout of the picture, in pixels below the title.
struct Layout {
    /// Width and height of a cell.
    side: i32,
    /// Width and height of all cells.
    field: i32,
    /// Where the cells begin on the left.
    left: i32,
    /// Size of the letters of the names; none without names.
    letters: Option<i32>,
    /// Whether the names at the bottom are written upwards.
    upwards: bool,
    /// Height of the names at the bottom.
    foot: i32,
}

/// Draws how often images of a class were taken for each class, as an SVG image. `confusion` has a row for each true
/// class with the counts of the classes that were found, and `names` the names of both in the same order. A cell is the
/// darker the larger its share of the row is; up to 20 classes its count is written in it. More than 60 classes are
/// drawn without names.
///
/// # Errors
/// The plotter refuses.
pub(crate) fn draw(title: &str, names: &[String], confusion: &[Vec<u64>]) -> Result<String, PlotError> {
    let names: Vec<String> = names.iter().take(confusion.len()).map(|name| short(name)).collect();
    let layout = Layout::new(&names, confusion.len());
    // A letter of the title is about 10 pixels wide.
    let width = (layout.left + layout.field).max(10 * title.chars().count() as i32 + 16).max(320);
    let size = (width as u32 + MARGIN, (layout.field + layout.foot + AXIS) as u32 + HEADING);
    framed_in(size, title, &[], |area| {
        cells(area, &layout, confusion)?;
        labels(area, &layout, &names)
    })
}

/// A name that is not longer than [`LETTERS`].
fn short(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    name.chars().take(LETTERS - 1).chain(['…']).collect()
}

impl Layout {
    fn new(names: &[String], classes: usize) -> Self {
        let side = (FIELD / classes.max(1)).clamp(1, LARGEST) as i32;
        let letters = (classes <= NAMED).then_some(side.min(15));
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as i32;
        // A letter is less than half as wide as it is high, on average.
        let width = letters.map_or(0, |letters| (longest * letters + 1) / 2);
        let upwards = width > side;
        let foot = if upwards { width } else { letters.unwrap_or(0) };
        Self { side, field: side * classes as i32, left: AXIS + width + 8, letters, upwards, foot: foot + 10 }
    }
}

fn cells(area: &Area<'_>, layout: &Layout, confusion: &[Vec<u64>]) -> Drawn {
    let Layout { side, field, left, .. } = *layout;
    let digits = confusion.iter().flatten().max().map_or(1, |most| most.to_string().len() as i32);
    // A digit is a little more than half as wide as it is high.
    let size = (side * 3 / (2 * digits)).min(side / 2).clamp(6, 16);
    for (row, y) in confusion.iter().zip((0..).map(|row| row * side)) {
        let all = row.iter().sum::<u64>().max(1) as f64;
        for (count, x) in row.iter().take(confusion.len()).zip((0..).map(|column| left + column * side)) {
            let share = *count as f64 / all;
            if *count > 0 {
                area.draw(&Rectangle::new([(x, y), (x + side, y + side)], shade(share).filled()))?;
            }
            if confusion.len() <= COUNTED {
                let ink = if *count == 0 {
                    FAINT
                } else if share > 0.5 {
                    WHITE
                } else {
                    INK
                };
                let style = text(size).color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
                area.draw(&Text::new(count.to_string(), (x + side / 2, y + side / 2), style))?;
            }
        }
    }
    // Lines between cells of a few pixels would hide them.
    if confusion.len() <= NAMED {
        for at in (0..=confusion.len() as i32).map(|line| line * side) {
            area.draw(&PathElement::new([(left, at), (left + field, at)], GRID.stroke_width(1)))?;
            area.draw(&PathElement::new([(left + at, 0), (left + at, field)], GRID.stroke_width(1)))?;
        }
    }
    area.draw(&Rectangle::new([(left, 0), (left + field, field)], INK.stroke_width(1)))
}

/// White for 0, the first of [`COLOURS`] for 1.
fn shade(share: f64) -> RGBColor {
    let (r, g, b) = COLOURS.first().unwrap_or(&INK).rgb();
    let mix = |part: u8| (255.0 + share * (f64::from(part) - 255.0)).round() as u8;
    RGBColor(mix(r), mix(g), mix(b))
}

fn labels(area: &Area<'_>, layout: &Layout, names: &[String]) -> Drawn {
    let Layout { side, field, left, foot, .. } = *layout;
    if let Some(letters) = layout.letters {
        let beside = text(letters).pos(Pos::new(HPos::Right, VPos::Center));
        let below = if layout.upwards {
            beside.transform(FontTransform::Rotate270)
        } else {
            text(letters).pos(Pos::new(HPos::Center, VPos::Top))
        };
        for (name, middle) in names.iter().zip((0..).map(|row| row * side + side / 2)) {
            area.draw(&Text::new(name.as_str(), (left - 6, middle), beside.clone()))?;
            area.draw(&Text::new(name.as_str(), (left + middle, field + 6), below.clone()))?;
        }
    }
    let axis = text(17).pos(Pos::new(HPos::Center, VPos::Center));
    let side_axis = axis.transform(FontTransform::Rotate270);
    area.draw(&Text::new("predicted class", (left + field / 2, field + foot + AXIS / 2), axis.clone()))?;
    area.draw(&Text::new("true class", (AXIS / 2, field / 2), side_axis))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("class {class}")).collect()
    }

    /// Mostly right, and otherwise the next class.
    fn mostly_right(classes: usize) -> Vec<Vec<u64>> {
        let cell = |row, column| match (column + classes - row) % classes {
            0 => 91_234,
            1 => 777,
            _ => 0,
        };
        (0..classes).map(|row| (0..classes).map(|column| cell(row, column)).collect()).collect()
    }

    #[test]
    fn names_and_counts_are_in_the_picture_and_escaped() {
        let names = ["<cat> & dog", "a name that is far too long for a plot"].map(str::to_owned);
        let svg = draw("A & B", &names, &[vec![3, 1], vec![0, 17]]).unwrap();
        for text in ["A &amp; B", "&lt;cat&gt; &amp; dog", "a name that is fa…", "\n17\n", "\n0\n", "true class"] {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
        assert!(!svg.contains("far too"));
        assert_eq!(svg, draw("A & B", &names, &[vec![3, 1], vec![0, 17]]).unwrap());
    }

    #[test]
    fn many_classes_have_no_counts_and_still_more_have_no_names() {
        let drawn = |classes| draw("many", &names(classes), &mostly_right(classes)).unwrap();
        assert!(drawn(20).contains("91234") && drawn(20).contains("class 19"));
        assert!(!drawn(21).contains("91234") && drawn(60).contains("class 59"));
        assert!(!drawn(61).contains("class 0"));
        assert!(drawn(700).contains("</svg>"));
    }

    #[test]
    fn any_matrix_makes_a_picture() {
        for confusion in
            [vec![], vec![vec![]], vec![vec![0]], vec![vec![u64::MAX / 2, 1], vec![2, 1]], vec![vec![1, 2, 3]]]
        {
            assert!(draw("few", &names(1), &confusion).unwrap().contains("</svg>"));
        }
    }

    #[test]
    fn a_shade_is_the_share_of_the_row() {
        let (r, g, b) = COLOURS[0].rgb();
        assert_eq!((shade(0.0), shade(1.0)), (WHITE, RGBColor(r, g, b)));
        let svg = draw("shades", &names(2), &[vec![5, 5], vec![0, 2]]).unwrap();
        let RGBColor(r, g, b) = shade(0.5);
        assert_eq!(svg.matches(&format!("#{r:02X}{g:02X}{b:02X}")).count(), 2, "{svg}");
    }
}
