//! Decoding: from the bytes of an image file to pixels, as a viewer shows them.
//!
//! The content says whether a file is JPEG, PNG or WebP, not its name. Images are turned as their EXIF orientation
//! says. What is transparent is laid on white. Of an animation the first frame is taken.

use std::borrow::Cow;
use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Rgb, RgbImage, RgbaImage};
use memchr::memchr_iter;

use super::header::{fault, limits};
use crate::{Header, ImageFault};

/// The pixels of a file.
///
/// # Errors
/// It is no image, a broken one, or one of a kind that is not read.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, ImageFault> {
    let header = Header::read(Cursor::new(bytes))?;
    let pixels = header.pixels();
    let bytes = if header.format == ImageFormat::Jpeg { whole_jpeg(bytes, pixels)? } else { Cow::Borrowed(bytes) };
    let mut image = raw(&bytes, header.format, pixels)?;
    image.apply_orientation(header.orientation);
    Ok(if image.color().has_alpha() { on_white(&image.into_rgba8()) } else { image.into_rgb8() })
}

/// As they are stored. The reader's limits bound the memory.
fn raw(bytes: &[u8], format: ImageFormat, pixels: u64) -> Result<DynamicImage, ImageFault> {
    let (mut reader, limits) = (ImageReader::with_format(Cursor::new(bytes), format), limits(pixels));
    reader.limits(limits.clone());
    reader.decode().map_err(|error| fault(error, &limits))
}

/// An image without transparency, as if it lay on white.
#[must_use]
pub fn on_white(image: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u32::from);
        Rgb([red, green, blue].map(|channel| ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}

/// The file if all its pixels are there. The decoder would fill what is missing with grey. A file may go on behind its
/// end, as those of phones do, and one without an end marker is given one.
fn whole_jpeg(bytes: &[u8], pixels: u64) -> Result<Cow<'_, [u8]>, ImageFault> {
    if has_end(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    // If all pixels are there, it does not matter what comes after them.
    let filled = [0x00, 0x55, 0xaa].map(|fill| [bytes, &[fill; 4096], &[0xff, 0xd9]].concat());
    let decoded = filled.each_ref().map(|bytes| raw(bytes, ImageFormat::Jpeg, pixels));
    let [Ok(first), Ok(second), Ok(third)] = decoded else {
        return Err(ImageFault::Truncated);
    };
    let [filled, ..] = filled;
    if first == second && second == third { Ok(Cow::Owned(filled)) } else { Err(ImageFault::Truncated) }
}

/// Whether the end marker comes after the segments and pixels. A preview in a segment has an end of its own, which is
/// skipped with the segment.
fn has_end(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        // Within pixels 0xff is followed by 0, or by the number of a restart.
        let is_marker = |marker: &u8| !matches!(marker, 0x00 | 0xd0..=0xd7 | 0xff);
        let found = memchr_iter(0xff, rest).find(|place| rest.get(place + 1).is_some_and(is_marker));
        let Some(place) = found else { return false };
        let Some((marker, after)) = rest.get(place + 1..).and_then(<[u8]>::split_first) else { return false };
        rest = match marker {
            0xd9 => return true,
            0x01 | 0xd8 => after,
            _ => {
                let Some(&[high, low]) = after.first_chunk() else { return false };
                after.get(u16::from_be_bytes([high, low]).into()..).unwrap_or_default()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use image::codecs::jpeg::JpegEncoder;
    use image::{ColorType, ImageEncoder, Rgba};

    use super::*;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/faults").join(name))
            .unwrap()
    }

    /// A picture of which no part is like another.
    fn picture() -> RgbImage {
        RgbImage::from_fn(40, 24, |x, y| Rgb([(x * 6) as u8, (y * 10) as u8, (x * y % 251) as u8]))
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// An EXIF block that says how the image is turned.
    fn exif(orientation: u8) -> Vec<u8> {
        let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
        [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
    }

    #[test]
    fn a_jpeg_may_go_on_behind_its_end_or_lack_its_marker() {
        let whole = encoded(ImageFormat::Jpeg);
        let expected = decode(&whole).unwrap();
        // Among what follows are the markers of a scan and of an end.
        for more in [&b"motion"[..], b"\xff\xda\0\x0c", b"\xff\xd9\xff\xda", &whole, &[0; 100]] {
            assert_eq!(decode(&[&whole, more].concat()).unwrap(), expected);
        }
        assert_eq!(decode(&whole[..whole.len() - 2]).unwrap(), expected);
        assert_eq!(decode(&file("motion.jpg")).unwrap().dimensions(), (64, 40));
    }

    #[test]
    fn a_jpeg_of_which_pixels_are_missing_is_truncated() {
        let whole = encoded(ImageFormat::Jpeg);
        for missing in [3, 4, 10, 50, whole.len() / 3] {
            for end in [&b""[..], b"\xff"] {
                let cut = [&whole[..whole.len() - 2 - missing], end].concat();
                let error = decode(&cut).unwrap_err();
                assert!(matches!(error, ImageFault::Truncated), "{missing}: {error}");
            }
        }
        assert!(matches!(decode(&whole[..20]).unwrap_err(), ImageFault::Truncated));
    }

    #[test]
    fn images_are_turned_as_their_exif_says() {
        let mut turned = Vec::new();
        for orientation in 1..=8 {
            let mut jpeg = Vec::new();
            let mut encoder = JpegEncoder::new(&mut jpeg);
            encoder.set_exif_metadata(exif(orientation)).unwrap();
            encoder.write_image(&picture(), 40, 24, image::ExtendedColorType::Rgb8).unwrap();
            let mut png = Vec::new();
            let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
            encoder.set_exif_metadata(exif(orientation)).unwrap();
            encoder.write_image(&picture(), 40, 24, image::ExtendedColorType::Rgb8).unwrap();
            let mut webp = Vec::new();
            let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
            encoder.set_exif_metadata(exif(orientation)).unwrap();
            encoder.write_image(&picture(), 40, 24, image::ExtendedColorType::Rgb8).unwrap();
            let png = decode(&png).unwrap();
            assert_eq!(decode(&webp).unwrap(), png, "{orientation}");
            let size = if orientation > 4 { (24, 40) } else { (40, 24) };
            assert_eq!((png.dimensions(), decode(&jpeg).unwrap().dimensions()), (size, size));
            let close = |(one, other): (&u8, &u8)| one.abs_diff(*other) < 40;
            let near = decode(&jpeg).unwrap().iter().zip(png.iter()).filter(|pair| close(*pair)).count();
            assert!(near * 10 > png.len() * 9, "{orientation}: {near} of {}", png.len());
            let header = Header::read(Cursor::new(&jpeg)).unwrap();
            assert_eq!((header.width, header.height, header.orientation.to_exif()), (size.0, size.1, orientation));
            turned.push(png);
        }
        let [first, .., last] = turned.as_slice() else { unreachable!() };
        assert_eq!(*first, picture());
        // The eighth: what is stored is turned to the left.
        assert_eq!(*last, image::imageops::rotate270(&picture()));
        let [upright, turned] = ["upright.jpg", "turned.jpg"].map(|name| decode(&file(name)).unwrap());
        let colour = |image: &RgbImage| {
            let (width, height) = image.dimensions();
            [width / 4, width * 3 / 4].map(|x| {
                let [red, green, blue] = image.get_pixel(x, height / 2).0;
                red.max(green).max(blue) - red.min(green).min(blue) > 40
            })
        };
        assert_eq!((colour(&upright), colour(&turned)), ([true, false], [true, false]));
    }

    #[test]
    fn what_is_transparent_is_white() {
        let icons = ["icon-0.png", "icon-1.png"].map(|name| decode(&file(name)).unwrap());
        assert_ne!(icons[0], icons[1]);
        assert!(icons.iter().all(|icon| icon.pixels().any(|pixel| pixel.0 == [255; 3])));
        assert!(icons.iter().all(|icon| icon.pixels().any(|pixel| pixel.0 == [0; 3])));
        let image = RgbaImage::from_fn(3, 1, |x, _| Rgba([10, 20, 30, [0, 128, 255][x as usize]]));
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let mut bytes = Cursor::new(Vec::new());
            image.write_to(&mut bytes, format).unwrap();
            let found: Vec<[u8; 3]> = decode(bytes.get_ref()).unwrap().pixels().map(|pixel| pixel.0).collect();
            // 255 - (245, 235, 225) x 128 / 255, rounded.
            assert_eq!(found, [[255; 3], [132, 137, 142], [10, 20, 30]]);
        }
    }

    #[test]
    fn other_encodings_of_colour_are_read() {
        for name in ["cmyk.jpg", "cmyk-no-marker.jpg", "ycck.jpg"] {
            let image = decode(&file(name)).unwrap();
            let middle = image.get_pixel(image.width() / 2, image.height() / 2).0;
            assert!(
                middle.iter().zip([225, 112, 0]).all(|(found, known)| found.abs_diff(known) < 8),
                "{name}: {middle:?}"
            );
        }
        for (color, bytes) in [(ColorType::L16, 2), (ColorType::La16, 4), (ColorType::Rgba16, 8), (ColorType::L8, 1)] {
            let mut png = Vec::new();
            let pixels = vec![0xff; 4 * bytes];
            image::codecs::png::PngEncoder::new(&mut png).write_image(&pixels, 2, 2, color.into()).unwrap();
            assert!(decode(&png).unwrap().pixels().all(|pixel| pixel.0 == [255; 3]), "{color:?}");
        }
    }

    /// A file of which what is beside the pixels is much larger than they are.
    #[test]
    fn a_profile_that_unpacks_to_much_is_left_out_and_a_long_text_is_refused() {
        let mut png = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
        encoder.set_icc_profile(vec![0; 20 << 20]).unwrap();
        encoder.write_image(&picture(), 40, 24, image::ExtendedColorType::Rgb8).unwrap();
        assert!(png.len() < 1 << 20, "{}", png.len());
        assert_eq!(decode(&png).unwrap(), picture());
        let mut decoder = image::codecs::png::PngDecoder::with_limits(Cursor::new(&png), limits(40 * 24)).unwrap();
        assert_eq!(image::ImageDecoder::icc_profile(&mut decoder).unwrap(), None);
        assert_eq!((limits(0).max_alloc, limits(u64::MAX).max_alloc), (Some(16 << 20), Some(512 << 20)));

        // A chunk of text behind the header.
        let mut chunk = [&b"tEXtname\0"[..], &vec![b'a'; 20 << 20]].concat();
        let mut checksum = flate2::Crc::new();
        checksum.update(&chunk);
        chunk.extend(checksum.sum().to_be_bytes());
        let length = u32::try_from(chunk.len() - 8).unwrap().to_be_bytes();
        let mut png = encoded(ImageFormat::Png);
        png.splice(33..33, [&length[..], &chunk].concat());
        let text = decode(&png).unwrap_err().to_string();
        assert!(text.contains("decoding it takes more than 16 MiB"), "{text}");
    }

    #[test]
    fn what_is_no_image_or_too_large_is_told_by_its_beginning() {
        let message = |bytes: &[u8]| Header::read(Cursor::new(bytes)).unwrap_err().to_string();
        assert_eq!(message(b""), "the file is empty");
        assert!(message(b"<html>").contains("not those of an image"));
        assert!(message(b"GIF89a\x01\0\x01\0\0\0\0").contains("it is a gif file; only JPEG, PNG and WebP are read"));
        assert!(message(&encoded(ImageFormat::Jpeg)[..30]).contains("truncated"));
        // A PNG file of 30,000 x 30,000 pixels: only the size in its header is changed, and its checksum.
        let mut png = encoded(ImageFormat::Png);
        png.splice(16..24, [30_000_u32.to_be_bytes(), 30_000_u32.to_be_bytes()].concat());
        let mut checksum = flate2::Crc::new();
        checksum.update(&png[12..29]);
        png.splice(29..33, checksum.sum().to_be_bytes());
        assert!(message(&png).contains("30000 x 30000 pixels, expected at least 1 x 1 and at most 100000000"));
        let mut arithmetic = encoded(ImageFormat::Jpeg);
        let place = arithmetic.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        arithmetic[place + 1] = 0xc9;
        assert!(message(&arithmetic).contains("arithmetic coding of JPEG is not supported"));
    }
}
