//! Where pixels come from: memory or image files.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use image::{ImageError, ImageFormat, RgbImage};
use sha2::{Digest, Sha256};

use super::DataError;

/// What a folder of data holds, before it is split.
pub(super) struct Scan {
    pub(super) source: Source,
    /// The class of every image, an index into `class_names`.
    pub(super) labels: Vec<i64>,
    pub(super) class_names: Vec<String>,
    /// The first image of the data's own test part; all images after it belong to it as well.
    pub(super) own_test: Option<usize>,
    /// The first class of the test part of the data's own class split; all classes after it belong to it as well.
    pub(super) first_test_class: Option<i64>,
    /// Files that are neither JPEG nor PNG.
    pub(super) skipped: usize,
    /// SHA-256 of the content, in hexadecimal.
    pub(super) digest: String,
}

/// The pixels of all images.
pub(super) enum Source {
    /// Square images of one channel, one after the other.
    Bytes { pixels: Vec<u8>, side: usize },
    /// One JPEG or PNG file per image.
    Files(Vec<PathBuf>),
}

/// An image: rows from top to bottom, the channels of a pixel side by side.
pub(super) struct Picture<'a> {
    pub(super) pixels: Cow<'a, [u8]>,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Source {
    /// Decodes one image; `None` if there is no image of that number.
    pub(super) fn picture(&self, index: usize) -> Option<Result<Picture<'_>, DataError>> {
        match self {
            Self::Bytes { pixels, side } => {
                let pixels = pixels.chunks_exact(side * side).nth(index)?;
                Some(Ok(Picture { pixels: Cow::Borrowed(pixels), width: *side, height: *side }))
            }
            Self::Files(files) => files.get(index).map(decode),
        }
    }
}

/// The content of the file says whether it is JPEG or PNG, not its name.
fn decode(path: &PathBuf) -> Result<Picture<'static>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::Read { path: path.clone(), source })?;
    let image = decode_bytes(&bytes).map_err(|source| DataError::Image { path: path.clone(), source })?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Picture { pixels: Cow::Owned(image.into_raw()), width, height })
}

fn decode_bytes(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    let format = image::guess_format(bytes)?;
    // The decoder fills what is missing of a JPEG file with grey.
    if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(ImageError::IoError(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is truncated")));
    }
    Ok(image::load_from_memory_with_format(bytes, format)?.into_rgb8())
}

/// Whether the last scan has an end. A preview in the header has scans and ends of its own, so only the last of both markers
/// counts; neither occurs in the data of a scan.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    bytes.windows(2).rev().find(|pair| *pair == START_OF_SCAN || *pair == END_OF_IMAGE) == Some(&END_OF_IMAGE)
}

/// The finished digest in hexadecimal.
pub(super) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line of the digest of a list of files. The name is quoted, so that no name can pass for another line.
pub(super) fn digest_line(name: &str, size: u64, label: i64) -> String {
    format!("{name:?} {size} {label}\n")
}
