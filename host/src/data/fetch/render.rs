//! Drawing an emoji at the size of the collection, on white.

use std::io::Cursor;

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, RgbImage};
use lossmith_images::on_white;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::Format;

/// Height and width of the images.
pub(super) const SIDE: u32 = 64;

/// A PNG file of 64 x 64 RGB pixels. The background is white: a network sees no transparency, and the colour that a
/// transparent pixel happens to have in the file is not part of the drawing.
pub(super) fn png(format: Format, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let drawn = match format {
        Format::Png => raster(bytes, ImageFormat::Png)?,
        Format::WebP => raster(bytes, ImageFormat::WebP)?,
        Format::Svg => vector(bytes)?,
    };
    let mut file = Cursor::new(Vec::new());
    drawn.write_to(&mut file, ImageFormat::Png).map_err(|error| error.to_string())?;
    Ok(file.into_inner())
}

fn raster(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, String> {
    let image = image::load_from_memory_with_format(bytes, format).map_err(|error| error.to_string())?.into_rgba8();
    // Before the resizing: it would mix in the colours of transparent pixels.
    let white = on_white(&image);
    if white.dimensions() == (SIDE, SIDE) {
        return Ok(white);
    }
    Ok(DynamicImage::ImageRgb8(white).resize_exact(SIDE, SIDE, FilterType::CatmullRom).into_rgb8())
}

fn vector(bytes: &[u8]) -> Result<RgbImage, String> {
    let tree = Tree::from_data(bytes, &Options::default()).map_err(|error| error.to_string())?;
    let mut pixels = Pixmap::new(SIDE, SIDE).ok_or("no memory for its pixels")?;
    pixels.fill(Color::WHITE);
    let scale = Transform::from_scale(SIDE as f32 / tree.size().width(), SIDE as f32 / tree.size().height());
    resvg::render(&tree, scale, &mut pixels.as_mut());
    // Everything is opaque, so the colours are what they seem.
    let colours = pixels.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    RgbImage::from_raw(SIDE, SIDE, colours).ok_or_else(|| "no memory for its pixels".to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use image::{Rgba, RgbaImage};

    use super::*;

    fn drawn(format: Format, bytes: &[u8]) -> RgbImage {
        let image = image::load_from_memory_with_format(&png(format, bytes).unwrap(), ImageFormat::Png).unwrap();
        assert_eq!((image.width(), image.height(), image.color()), (SIDE, SIDE, image::ColorType::Rgb8));
        image.into_rgb8()
    }

    #[test]
    fn transparent_pixels_are_white_whatever_their_colour() {
        for side in [64, 160] {
            // The left half is red, the right half invisible green, the middle between them half visible black.
            let image = RgbaImage::from_fn(side, side, |x, _| match x * 8 / side {
                0..3 => Rgba([255, 0, 0, 255]),
                3..5 => Rgba([0, 0, 0, 128]),
                _ => Rgba([0, 255, 0, 0]),
            });
            let mut file = Cursor::new(Vec::new());
            image.write_to(&mut file, ImageFormat::Png).unwrap();
            let found = drawn(Format::Png, file.get_ref());
            for (x, expected) in [(10, [255, 0, 0]), (32, [127, 127, 127]), (55, [255, 255, 255])] {
                assert_eq!(found.get_pixel(x, 20).0, expected, "{side}");
            }
        }
    }

    #[test]
    fn svg_is_scaled_to_the_size() {
        let svg = br##"<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" viewBox="0 0 32 32">
            <rect x="0" y="0" width="16" height="32" fill="#0000ff"/></svg>"##;
        let found = drawn(Format::Svg, svg);
        assert_eq!((found.get_pixel(16, 60).0, found.get_pixel(48, 4).0), ([0, 0, 255], [255, 255, 255]));
    }

    #[test]
    fn what_is_no_image_is_an_error() {
        for format in [Format::Png, Format::WebP, Format::Svg] {
            assert!(png(format, b"<svg").is_err() && png(format, b"").is_err());
        }
    }
}
