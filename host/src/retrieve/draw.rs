//! The picture: rows of a query and what it found, with the classes and the distances.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::error::RetrieveError;
use super::search::QueryResult;
use crate::data::Dataset;

/// Width and height that an image is fitted into, in pixels.
pub const SIDE: u32 = 96;
/// Width of a frame around it, and the space between the rows of one query, in pixels.
pub const FRAME: u32 = 4;
/// Space between images, between queries, and around all, in pixels; twice as much behind the query.
pub const GAP: u32 = 8;
/// Height of what is written below an image, two lines, in pixels.
pub const CAPTION: u32 = 2 * LINE;
/// The frame of what is right.
pub const RIGHT: Rgb<u8> = Rgb([0, 150, 70]);
/// The frame of what is wrong.
pub const WRONG: Rgb<u8> = Rgb([210, 30, 30]);
/// The frame of a query.
pub const INK: Rgb<u8> = Rgb([90, 90, 90]);

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const CELL: u32 = SIDE + 2 * FRAME;
/// The most pixels of a picture: 600 MB.
const MOST_PIXELS: u64 = 200_000_000;
/// Height of a line of text, in pixels.
const LINE: u32 = 16;

/// Draws what one or more runs found for the same queries: for each query a row of each run, in the order of the runs,
/// with the query in front. Below each image is its class, and below what was found its distance from the query.
/// Letters beyond the Latin ones are drawn as `?`.
///
/// # Errors
/// An image cannot be read.
pub fn draw(dataset: &Dataset, runs: &[Vec<QueryResult>]) -> Result<RgbImage, RetrieveError> {
    let found = runs.iter().flatten().map(|found| found.neighbours.len()).max().unwrap_or(0);
    let (width, height) = size(runs.len(), runs.first().map_or(0, Vec::len), found)?;
    let mut picture = RgbImage::from_pixel(width, height, PAPER);
    let of_query = runs.len().max(1) as u32 * (CELL + CAPTION + FRAME) - FRAME + GAP;
    for (run, row) in runs.iter().zip(0..) {
        for (found, query) in run.iter().zip(0..) {
            let top = GAP + query * of_query + row * (CELL + CAPTION + FRAME);
            put(&mut picture, dataset, found.image, INK, (GAP, top))?;
            write(&mut picture, &found.class, INK, (GAP, top + CELL));
            for (hit, column) in found.neighbours.iter().zip(1..) {
                let frame = if hit.right { RIGHT } else { WRONG };
                let left = 2 * GAP + column * (CELL + GAP);
                put(&mut picture, dataset, hit.image, frame, (left, top))?;
                write(&mut picture, &hit.class, frame, (left, top + CELL));
                write(&mut picture, &format!("{:.3}", hit.distance), INK, (left, top + CELL + LINE));
            }
        }
    }
    Ok(picture)
}

/// Width and height of a picture of so many runs, queries of each, and neighbours of each query.
///
/// # Errors
/// It would have too many pixels.
pub fn size(runs: usize, queries: usize, neighbours: usize) -> Result<(u32, u32), RetrieveError> {
    let [cell, caption, frame, gap] = [CELL, CAPTION, FRAME, GAP].map(u64::from);
    let [runs, queries, neighbours] = [runs, queries, neighbours].map(|count| count as u64);
    let of_query = runs.max(1).saturating_mul(cell + caption + frame) - frame + gap;
    let width = neighbours.saturating_add(1).saturating_mul(cell + gap).saturating_add(2 * gap);
    let height = queries.saturating_mul(of_query).saturating_add(gap);
    match (u32::try_from(width), u32::try_from(height)) {
        (Ok(wide), Ok(high)) if width.saturating_mul(height) <= MOST_PIXELS => Ok((wide, high)),
        _ => Err(RetrieveError::TooLarge { width, height, most: MOST_PIXELS }),
    }
}

/// Writes a line of text below an image, as much of it as there is room for.
fn write(picture: &mut RgbImage, text: &str, ink: Rgb<u8>, (left, top): (u32, u32)) {
    let room = CELL as usize / get_raster_width(FontWeight::Regular, RasterHeight::Size16);
    let glyph = |letter| get_raster(letter, FontWeight::Regular, RasterHeight::Size16);
    let letters = shortened(text, room).into_iter().filter_map(|letter| glyph(letter).or_else(|| glyph('?')));
    let mut left = left;
    for letter in letters {
        for (row, y) in letter.rows().zip(top..) {
            for (share, x) in row.iter().zip(left..) {
                if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                    let mix = |paper: u8, ink: u8| {
                        let share = u32::from(*share);
                        ((u32::from(paper) * (255 - share) + u32::from(ink) * share) / 255) as u8
                    };
                    *pixel = Rgb([0, 1, 2].map(|part| mix(pixel.0[part], ink.0[part])));
                }
            }
        }
        left += letter.width() as u32;
    }
}

/// The letters of a text, with two points at the end where there is no room for the rest.
fn shortened(text: &str, room: usize) -> Vec<char> {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= room {
        return letters;
    }
    letters.into_iter().take(room.saturating_sub(2)).chain(['.', '.']).collect()
}

/// Puts an image with a frame at (left, top), its proportions kept.
fn put(
    picture: &mut RgbImage,
    dataset: &Dataset,
    image: usize,
    frame: Rgb<u8>,
    (left, top): (u32, u32),
) -> Result<(), RetrieveError> {
    let cell = RgbImage::from_fn(CELL, CELL, |x, y| {
        let inside = |at: u32| (FRAME..FRAME + SIDE).contains(&at);
        if inside(x) && inside(y) { PAPER } else { frame }
    });
    imageops::replace(picture, &cell, left.into(), top.into());
    let Some(image) = dataset.picture(image)? else { return Ok(()) };
    let longest = image.width().max(image.height()).max(1);
    let fitted = |length: u32| (length * SIDE / longest).max(1);
    let (width, height) = (fitted(image.width()), fitted(image.height()));
    // Small images keep their pixels; large ones are averaged.
    let filter = if longest <= SIDE { FilterType::Nearest } else { FilterType::Triangle };
    let scaled = imageops::resize(&image, width, height, filter);
    let middle = |length: u32| FRAME + (SIDE - length) / 2;
    imageops::replace(picture, &scaled, (left + middle(width)).into(), (top + middle(height)).into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_no_larger_than_memory_allows() {
        assert_eq!(size(1, 6, 3).ok(), Some((16 + 4 * 112, 8 + 6 * 144)));
        assert_eq!(size(2, 3, 5).ok(), Some((16 + 6 * 112, 8 + 3 * 284)));
        for (queries, neighbours) in [(1000, 1000), (usize::MAX, 1), (1, usize::MAX), (usize::MAX, usize::MAX)] {
            assert!(matches!(size(2, queries, neighbours), Err(RetrieveError::TooLarge { .. })));
        }
    }

    #[test]
    fn a_long_name_is_shortened_and_every_letter_is_drawn() {
        assert_eq!(shortened("robin", 5).into_iter().collect::<String>(), "robin");
        assert_eq!(shortened("Rüppell's vulture", 9).into_iter().collect::<String>(), "Rüppell..");
        let drawn = |text: &str| {
            let mut picture = RgbImage::from_pixel(CELL + GAP, LINE, PAPER);
            write(&mut picture, text, INK, (0, 0));
            picture
        };
        let empty = drawn("");
        for text in ["a", "ü", "ż", "猫", "\u{202e}"] {
            assert_ne!(drawn(text), empty, "{text}");
        }
        assert_eq!(drawn("猫"), drawn("?"));
        // A long name ends before the next image begins.
        let long = drawn(&"w".repeat(99));
        assert!((CELL..CELL + GAP).all(|x| (0..LINE).all(|y| *long.get_pixel(x, y) == PAPER)));
        assert_ne!(drawn("o"), drawn("ö"));
    }
}
