//! The picture: rows of a query and what it found.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::error::RetrieveError;
use super::lists::Found;
use crate::data::Dataset;

/// Width and height that an image is fitted into, in pixels.
pub const SIDE: u32 = 64;
/// Width of a frame around it, and the space between the rows of one query, in pixels.
pub const FRAME: u32 = 4;
/// Space between images, between queries, and around all, in pixels; twice as much behind the query.
pub const GAP: u32 = 8;
/// The frame of what is right.
pub const RIGHT: Rgb<u8> = Rgb([0, 150, 70]);
/// The frame of what is wrong.
pub const WRONG: Rgb<u8> = Rgb([210, 30, 30]);
/// The frame of a query.
pub const INK: Rgb<u8> = Rgb([90, 90, 90]);

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const CELL: u32 = SIDE + 2 * FRAME;

/// Draws what one or more runs found for the same queries: for each query a row of each run, in the order of the runs, with the
/// query in front.
///
/// # Errors
/// An image cannot be read.
pub fn draw(dataset: &Dataset, runs: &[Vec<Found>]) -> Result<RgbImage, RetrieveError> {
    let queries = runs.first().map_or(0, Vec::len) as u32;
    let found = runs.iter().flatten().map(|found| found.neighbours.len()).max().unwrap_or(0) as u32;
    let rows = runs.len() as u32;
    let of_query = rows * (CELL + FRAME) - FRAME + GAP;
    let mut picture = RgbImage::from_pixel(2 * GAP + (found + 1) * (CELL + GAP), GAP + queries * of_query, PAPER);
    for (run, row) in runs.iter().zip(0..) {
        for (found, query) in run.iter().zip(0..) {
            let top = GAP + query * of_query + row * (CELL + FRAME);
            put(&mut picture, dataset, found.image, INK, (GAP, top))?;
            for (hit, column) in found.neighbours.iter().zip(1..) {
                let frame = if hit.right { RIGHT } else { WRONG };
                put(&mut picture, dataset, hit.image, frame, (2 * GAP + column * (CELL + GAP), top))?;
            }
        }
    }
    Ok(picture)
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
