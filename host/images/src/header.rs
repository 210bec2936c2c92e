//! Headers of image files: format, size, orientation, and whether pixels can be transparent.

use std::io::{self, BufRead, Seek};

use image::codecs::{png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ImageDecoder, ImageError, ImageFormat, Limits};

use crate::ImageFault;

/// The most pixels of an image. Decoded it then fits into what one worker may hold.
const MOST_PIXELS: u64 = 100_000_000;

/// What a decoder may take beside the pixels: for a colour profile, texts and the like. A packed profile can unpack to
/// a thousand times its size.
const BESIDE: u64 = 16 << 20;

/// The most bytes of a pixel: four channels of 16 bits.
const MOST_PIXEL_BYTES: u64 = 8;

/// The memory limits of a decoder for so many pixels; never more than its default.
pub(super) fn limits(pixels: u64) -> Limits {
    let mut limits = Limits::default();
    let most = pixels.min(MOST_PIXELS) * MOST_PIXEL_BYTES + BESIDE;
    limits.max_alloc = Some(limits.max_alloc.map_or(most, |default| default.min(most)));
    limits
}

/// The fault that an error of a decoder with these limits stands for.
pub(super) fn fault(error: ImageError, limits: &Limits) -> ImageFault {
    match error {
        ImageError::Limits(_) => ImageFault::Memory { most: limits.max_alloc.unwrap_or(0) >> 20 },
        other => other.into(),
    }
}

/// The beginning of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// JPEG, PNG or WebP, as the content says, whatever the name of the file.
    pub format: ImageFormat,
    /// Width of the image as it is shown, turned.
    pub width: u32,
    /// Height of the image as it is shown.
    pub height: u32,
    /// How the stored pixels become what is shown.
    pub orientation: Orientation,
    /// Whether pixels can be transparent.
    pub alpha: bool,
    /// Whether there are more images than the first one.
    pub animated: bool,
}

impl Header {
    /// Reads no more than the beginning of the file.
    ///
    /// # Errors
    /// It is no JPEG, PNG or WebP, or one that is not read.
    pub fn read(mut bytes: impl BufRead + Seek) -> Result<Self, ImageFault> {
        let first = bytes.fill_buf()?;
        if first.is_empty() {
            return Err(ImageFault::Empty);
        }
        let format = image::guess_format(first).map_err(|_| ImageFault::NoImage)?;
        // The width of a PNG file is at this place, and a line of pixels is all that is needed of them here.
        let width = first.get(16..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |width| u32::from_be_bytes(*width));
        let header = match format {
            ImageFormat::Jpeg => jpeg(&mut bytes)?,
            ImageFormat::Png => {
                let limits = limits(width.into());
                let decoder = PngDecoder::with_limits(&mut bytes, limits.clone());
                let mut decoder = decoder.map_err(|error| fault(error, &limits))?;
                let animated = decoder.is_apng()?;
                Self { animated, ..Self::of(&mut decoder, format)? }
            }
            ImageFormat::WebP => {
                let mut decoder = WebPDecoder::new(&mut bytes)?;
                let animated = decoder.has_animation();
                Self { animated, ..Self::of(&mut decoder, format)? }
            }
            other => return Err(ImageFault::OtherFormat { format: other.extensions_str().first().unwrap_or(&"?") }),
        };
        let (width, height) = (header.width, header.height);
        if width == 0 || height == 0 || u64::from(width) * u64::from(height) > MOST_PIXELS {
            return Err(ImageFault::Size { width, height, most: MOST_PIXELS });
        }
        Ok(header)
    }

    /// How many pixels there are.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    fn of(decoder: &mut impl ImageDecoder, format: ImageFormat) -> Result<Self, ImageFault> {
        let size = decoder.dimensions();
        let alpha = decoder.color_type().has_alpha();
        Ok(Self::turned(format, size, decoder.orientation()?, alpha))
    }

    /// The header of an image that is stored with this size.
    fn turned(format: ImageFormat, (width, height): (u32, u32), orientation: Orientation, alpha: bool) -> Self {
        let (width, height) = match orientation {
            Orientation::NoTransforms
            | Orientation::Rotate180
            | Orientation::FlipHorizontal
            | Orientation::FlipVertical => (width, height),
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
        };
        Self { format, width, height, orientation, alpha, animated: false }
    }
}

/// Reads the segments of a JPEG file up to its pixels. The decoder would read the whole file for that.
fn jpeg(bytes: &mut (impl BufRead + Seek)) -> Result<Header, ImageFault> {
    let (mut size, mut orientation) = (None, Orientation::NoTransforms);
    loop {
        let marker = marker(bytes).map_err(cut)?;
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let length = u16::from_be_bytes(take(bytes).map_err(cut)?).saturating_sub(2);
        match marker {
            0xd9 | 0xda => break,
            // Baseline, extended and progressive with Huffman codes.
            0xc0..=0xc2 => {
                let [_, high, low, wide, narrow] = take(bytes).map_err(cut)?;
                size = Some((u16::from_be_bytes([wide, narrow]).into(), u16::from_be_bytes([high, low]).into()));
                bytes.seek_relative(i64::from(length) - 5)?;
            }
            0xc3 | 0xc5..=0xc7 => return Err(ImageFault::JpegCoding { coding: "lossless or hierarchical" }),
            0xc9..=0xcb | 0xcd..=0xcf => return Err(ImageFault::JpegCoding { coding: "arithmetic" }),
            0xe1 => {
                let mut segment = vec![0; length.into()];
                bytes.read_exact(&mut segment).map_err(cut)?;
                let exif = segment.strip_prefix(b"Exif\0\0");
                orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(orientation);
            }
            _ => bytes.seek_relative(length.into())?,
        }
    }
    let size = size.ok_or(ImageFault::Truncated)?;
    Ok(Header::turned(ImageFormat::Jpeg, size, orientation, false))
}

/// The byte after the next 0xff that makes it a marker.
fn marker(bytes: &mut impl BufRead) -> io::Result<u8> {
    loop {
        let [byte] = take(bytes)?;
        if byte != 0xff {
            continue;
        }
        let mut marker = byte;
        while marker == 0xff {
            [marker] = take(bytes)?;
        }
        if marker != 0 {
            return Ok(marker);
        }
    }
}

fn take<const N: usize>(bytes: &mut impl BufRead) -> io::Result<[u8; N]> {
    let mut taken = [0; N];
    bytes.read_exact(&mut taken)?;
    Ok(taken)
}

fn cut(error: io::Error) -> ImageFault {
    if error.kind() == io::ErrorKind::UnexpectedEof { ImageFault::Truncated } else { error.into() }
}
