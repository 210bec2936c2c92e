//! Where pixels come from: memory or image files.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use image::RgbImage;
use lossmith_plugin::files;
use sha2::{Digest, Sha256};

use super::decode::decode;
use super::{DataError, ImageFault, Skipped};
use crate::quoted::quoted;

/// What a folder of data holds, before it is split.
pub(super) struct Scan {
    pub(super) source: Source,
    /// The class of every image, an index into `class_names`.
    pub(super) labels: Vec<i64>,
    pub(super) class_names: Vec<String>,
    /// The part of every image, if the data has parts of its own.
    pub(super) own_parts: Option<Vec<OwnPart>>,
    /// The fold of every image, from 0, if the data has folds of its own for [`super::SplitKind::SubjectFolds`].
    pub(super) own_folds: Option<Vec<usize>>,
    /// Whom every image shows, or who drew it, if the data has subjects.
    pub(super) subjects: Option<Vec<String>>,
    /// The first class of the test part of the data's own class split; all classes after it belong to it as well.
    pub(super) first_test_class: Option<i64>,
    /// What every image is for in a retrieval, if the data says it; else every image is searched for among all others.
    pub(super) roles: Option<Vec<Role>>,
    /// Files that are not read.
    pub(super) skipped: Vec<Skipped>,
    /// What somebody should know about the data, each a sentence.
    pub(super) warnings: Vec<String>,
    /// SHA-256 of the content, in hexadecimal.
    pub(super) digest: String,
}

/// The part that the data itself puts an image into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OwnPart {
    Train,
    Validation,
    Test,
}

impl OwnPart {
    pub(super) const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The names of its folder, and in the column `split` of a list.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Validation => &["val", "valid", "validation"],
            Self::Test => &["test"],
        }
    }
}

/// A JPEG, PNG or WebP file.
#[derive(Debug, PartialEq)]
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    /// What is cut out of it; `None` is all of it.
    pub(super) area: Option<Area>,
}

/// A rectangle of an image in pixels, as the image is shown. It may reach beyond the image; what is outside is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Area {
    pub(super) left: i64,
    pub(super) top: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} pixels at {}, {}", self.width, self.height, self.left, self.top)
    }
}

/// What an image is for in the retrieval of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) query: bool,
    pub(super) gallery: bool,
}

/// The pixels of all images.
pub(super) enum Source {
    /// Square images of one channel, one after the other.
    Bytes { pixels: Vec<u8>, side: usize },
    /// One file per image.
    Files(Vec<ImageFile>),
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
            Self::Files(files) => files.get(index).map(read),
        }
    }

    /// The images for which `kept` is true, in their order.
    pub(super) fn keep(self, kept: &[bool]) -> Self {
        match self {
            Self::Bytes { pixels, side } => {
                let images = pixels.chunks_exact(side * side);
                let pixels = filter(images, kept).flatten().copied().collect();
                Self::Bytes { pixels, side }
            }
            Self::Files(files) => Self::Files(filter(files, kept).collect()),
        }
    }
}

/// The items for which `kept` is true.
pub(super) fn filter<T>(items: impl IntoIterator<Item = T>, kept: &[bool]) -> impl Iterator<Item = T> {
    items.into_iter().zip(kept).filter(|(_, kept)| **kept).map(|(item, _)| item)
}

fn read(ImageFile { path, area }: &ImageFile) -> Result<Picture<'static>, DataError> {
    let bytes = files::read(path, files::IMAGE).map_err(|source| DataError::Read { path: path.clone(), source })?;
    let mut image = decode(&bytes).map_err(|source| DataError::Image { path: path.clone(), source })?;
    if let Some(area) = area {
        image = area.cut(&image).ok_or_else(|| {
            let (width, height) = (image.width(), image.height());
            DataError::Image { path: path.clone(), source: ImageFault::Outside { area: *area, width, height } }
        })?;
    }
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Picture { pixels: Cow::Owned(image.into_raw()), width, height })
}

impl Area {
    /// What of it is in an image of this size, as left, top, width and height; `None` if nothing is.
    pub(super) fn within(self, width: u32, height: u32) -> Option<[u32; 4]> {
        let range = |start: i64, length: i64, end: u32| {
            let (first, last) = (start.max(0), start.saturating_add(length).min(i64::from(end)));
            Some((u32::try_from(first).ok()?, u32::try_from(last - first).ok().filter(|length| *length > 0)?))
        };
        let (left, width) = range(self.left, self.width, width)?;
        let (top, height) = range(self.top, self.height, height)?;
        Some([left, top, width, height])
    }

    fn cut(self, image: &RgbImage) -> Option<RgbImage> {
        let [left, top, width, height] = self.within(image.width(), image.height())?;
        Some(image::imageops::crop_imm(image, left, top, width, height).to_image())
    }
}

/// The finished digest in hexadecimal.
pub(super) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line of the digest of a list of files. The name is quoted, so that no name can pass for another line.
pub(super) fn digest_line(name: &str, size: u64, label: i64) -> String {
    format!("{} {size} {label}\n", quoted(name))
}

/// The digest of data whose digest so far is `digest` and that has `more` to it, in hexadecimal.
pub(super) fn extend_digest(digest: &str, more: impl IntoIterator<Item = String>) -> String {
    let mut extended = Sha256::new();
    extended.update(format!("{digest}\n"));
    more.into_iter().for_each(|line| extended.update(line));
    hex(extended)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use image::Rgb;

    use super::*;

    fn area(left: i64, top: i64, width: i64, height: i64) -> ImageFile {
        ImageFile { path: PathBuf::new(), area: Some(Area { left, top, width, height }) }
    }

    #[test]
    fn an_area_is_cut_out_and_ends_at_the_edge() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        RgbImage::from_fn(10, 8, |x, y| Rgb([x as u8, y as u8, 0])).save(&path).unwrap();
        let cut = |file: ImageFile| read(&ImageFile { path: path.clone(), ..file });
        let first = |picture: &Picture<'_>| picture.pixels.get(..2).unwrap().to_vec();
        let inside = cut(area(3, 2, 4, 5)).unwrap();
        assert_eq!((inside.width, inside.height, first(&inside)), (4, 5, vec![3, 2]));
        let over = cut(area(-2, 6, 5, 100)).unwrap();
        assert_eq!((over.width, over.height, first(&over)), (3, 2, vec![0, 6]));
        for outside in [area(10, 0, 3, 3), area(0, -4, 3, 4), area(i64::MAX, 0, i64::MAX, 3), area(2, 2, 0, 1)] {
            let error = cut(outside).err().unwrap().to_string();
            assert!(error.contains("a.png") && error.contains("the image of 10 x 8 pixels"), "{error}");
        }
    }

    #[test]
    fn what_is_kept_keeps_its_order() {
        let bytes = Source::Bytes { pixels: (0..12).collect(), side: 2 }.keep(&[true, false, true]);
        assert_eq!(bytes.picture(1).unwrap().unwrap().pixels, [8, 9, 10, 11].as_slice());
        assert!(bytes.picture(2).is_none());
        let Source::Files(files) =
            Source::Files(vec![area(0, 0, 1, 1), area(1, 0, 1, 1), area(2, 0, 1, 1)]).keep(&[false, true, true])
        else {
            unreachable!()
        };
        assert_eq!(files, [area(1, 0, 1, 1), area(2, 0, 1, 1)]);
    }
}
