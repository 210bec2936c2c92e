//! Faults of one image file.

use std::io;

use thiserror::Error;

use crate::Area;

/// Why an image file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageFault {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It is a folder, a pipe or a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// It is no picture's size.
    #[error("the file has {bytes} bytes, more than the {most} that are read")]
    Bytes {
        /// Its bytes.
        bytes: u64,
        /// The most that are read.
        most: u64,
    },
    /// Its first bytes are those of no image.
    #[error("its first bytes are not those of an image; only JPEG, PNG and WebP are read")]
    NoImage,
    /// It is an image of another kind.
    #[error("it is a {format} file; only JPEG, PNG and WebP are read")]
    OtherFormat {
        /// The usual ending of such a file.
        format: &'static str,
    },
    /// Pixels are missing at its end.
    #[error("the file is truncated")]
    Truncated,
    /// No picture, or one that would take all memory.
    #[error("it has {width} x {height} pixels, expected at least 1 x 1 and at most {most} in all")]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The most pixels of an image.
        most: u64,
    },
    /// What is beside its pixels would take too much.
    #[error(
        "decoding it takes more than {most} MiB: what is stored beside its pixels, as a colour profile or a text, is \
         too large; store it without that"
    )]
    Memory {
        /// What a decoder may take for an image of its size.
        most: u64,
    },
    /// A JPEG file of a rare kind.
    #[error("its {coding} coding of JPEG is not supported; store it as baseline or progressive JPEG")]
    JpegCoding {
        /// Which.
        coding: &'static str,
    },
    /// The rectangle that is to be cut out of it is not in it.
    #[error("the area of {area} is outside of the image of {width} x {height} pixels")]
    Outside {
        /// The rectangle.
        area: Area,
        /// The width of the image.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The system refuses it.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The decoder refuses it.
    #[error("{0}")]
    Decode(#[from] image::ImageError),
}
