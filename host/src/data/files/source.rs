//! Sources of pixels: memory or image files.

use std::borrow::Cow;
use std::path::PathBuf;

use lossmith_images::{Area, ImageFault, Picture, decode};
use sha2::{Digest, Sha256};

use crate::data::{DataError, Skipped};

/// The scan of a data set: its images with their classes, before they are split.
pub(in crate::data) struct Scan {
    pub(in crate::data) source: ImageSource,
    /// The class of every image, an index into `class_names`.
    pub(in crate::data) labels: Vec<i64>,
    pub(in crate::data) class_names: Vec<String>,
    /// The part of every image, if the data has parts of its own.
    pub(in crate::data) own_parts: Option<Vec<OwnPart>>,
    /// The fold of every image, from 0, if the data has folds of its own for [`crate::data::SplitKind::SubjectFolds`].
    pub(in crate::data) own_folds: Option<Vec<usize>>,
    /// Whom every image shows, or who drew it, if the data has subjects.
    pub(in crate::data) subjects: Option<Vec<String>>,
    /// The first class of the test part of the data's own class split; all classes after it belong to it as well.
    pub(in crate::data) first_test_class: Option<i64>,
    /// What every image is for in a retrieval, if the data says it; else every image is searched for among all others.
    pub(in crate::data) roles: Option<Vec<RetrievalRole>>,
    /// Files that are not read.
    pub(in crate::data) skipped: Vec<Skipped>,
    /// What somebody should know about the data, each a sentence.
    pub(in crate::data) warnings: Vec<String>,
    /// SHA-256 of the content, in hexadecimal.
    pub(in crate::data) digest: String,
}

/// The part that the data itself puts an image into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::data) enum OwnPart {
    Train,
    Validation,
    Test,
}

impl OwnPart {
    pub(in crate::data) const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in messages.
    pub(in crate::data) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The names of its folder, and in the column `split` of a list.
    pub(in crate::data) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Validation => &["val", "valid", "validation"],
            Self::Test => &["test"],
        }
    }
}

/// A JPEG, PNG or WebP file.
#[derive(Debug, PartialEq)]
pub(in crate::data) struct ImageFile {
    pub(in crate::data) path: PathBuf,
    /// What is cut out of it; `None` is all of it.
    pub(in crate::data) area: Option<Area>,
}

/// The role of an image in the retrieval of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct RetrievalRole {
    pub(in crate::data) query: bool,
    pub(in crate::data) gallery: bool,
}

/// The pixels of all images.
pub(in crate::data) enum ImageSource {
    /// Square images of one channel, one after the other.
    Bytes { pixels: Vec<u8>, side: usize },
    /// One file per image.
    Files(Vec<ImageFile>),
}

impl ImageSource {
    /// Decodes one image; `None` if there is no image of that number.
    pub(in crate::data) fn picture(&self, index: usize) -> Option<Result<Picture<'_>, DataError>> {
        match self {
            Self::Bytes { pixels, side } => {
                let pixels = pixels.chunks_exact(side * side).nth(index)?;
                Some(Ok(Picture { pixels: Cow::Borrowed(pixels), width: *side, height: *side }))
            }
            Self::Files(files) => files.get(index).map(read),
        }
    }

    /// The images for which `kept` is true, in their order.
    pub(in crate::data) fn keep(self, kept: &[bool]) -> Self {
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
pub(in crate::data) fn filter<T>(items: impl IntoIterator<Item = T>, kept: &[bool]) -> impl Iterator<Item = T> {
    items.into_iter().zip(kept).filter(|(_, kept)| **kept).map(|(item, _)| item)
}

fn read(ImageFile { path, area }: &ImageFile) -> Result<Picture<'static>, DataError> {
    let bytes = lossmith_files::read(path, lossmith_files::IMAGE)
        .map_err(|cause| DataError::Read { path: path.clone(), cause })?;
    let mut image = decode(&bytes).map_err(|fault| DataError::Image { path: path.clone(), fault })?;
    if let Some(area) = area {
        image = area.cut(&image).ok_or_else(|| {
            let (width, height) = (image.width(), image.height());
            DataError::Image { path: path.clone(), fault: ImageFault::Outside { area: *area, width, height } }
        })?;
    }
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Picture { pixels: Cow::Owned(image.into_raw()), width, height })
}

/// The finished digest in hexadecimal.
pub(in crate::data) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line of the digest of a list of files. The name is quoted, so that no name can pass for another line.
pub(in crate::data) fn digest_line(name: &str, size: u64, label: i64) -> String {
    format!("{} {size} {label}\n", lossmith_files::quoted(name))
}

/// The digest of data whose digest so far is `digest` and that has `more` to it, in hexadecimal.
pub(in crate::data) fn extend_digest(digest: &str, more: impl IntoIterator<Item = String>) -> String {
    let mut extended = Sha256::new();
    extended.update(format!("{digest}\n"));
    more.into_iter().for_each(|line| extended.update(line));
    hex(extended)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use image::{Rgb, RgbImage};

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
        let bytes = ImageSource::Bytes { pixels: (0..12).collect(), side: 2 }.keep(&[true, false, true]);
        assert_eq!(bytes.picture(1).unwrap().unwrap().pixels, [8, 9, 10, 11].as_slice());
        assert!(bytes.picture(2).is_none());
        let ImageSource::Files(files) =
            ImageSource::Files(vec![area(0, 0, 1, 1), area(1, 0, 1, 1), area(2, 0, 1, 1)]).keep(&[false, true, true])
        else {
            unreachable!()
        };
        assert_eq!(files, [area(1, 0, 1, 1), area(2, 0, 1, 1)]);
    }
}
