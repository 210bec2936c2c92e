//! Rectangles that are cut out of images.

use std::fmt;

use image::RgbImage;

/// A rectangle of an image in pixels, as the image is shown. It may reach beyond the image; what is outside is left
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Area {
    /// Pixels left of it; below 0 where it begins left of the image.
    pub left: i64,
    /// Pixels above it.
    pub top: i64,
    /// Its width.
    pub width: i64,
    /// Its height.
    pub height: i64,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} pixels at {}, {}", self.width, self.height, self.left, self.top)
    }
}

impl Area {
    /// The part of it inside an image of this size, as left, top, width and height; `None` if there is none.
    #[must_use]
    pub fn within(self, width: u32, height: u32) -> Option<[u32; 4]> {
        let range = |start: i64, length: i64, end: u32| {
            let (first, last) = (start.max(0), start.saturating_add(length).min(i64::from(end)));
            Some((u32::try_from(first).ok()?, u32::try_from(last - first).ok().filter(|length| *length > 0)?))
        };
        let (left, width) = range(self.left, self.width, width)?;
        let (top, height) = range(self.top, self.height, height)?;
        Some([left, top, width, height])
    }

    /// What is inside of the image; `None` if nothing is.
    #[must_use]
    pub fn cut(self, image: &RgbImage) -> Option<RgbImage> {
        let [left, top, width, height] = self.within(image.width(), image.height())?;
        Some(image::imageops::crop_imm(image, left, top, width, height).to_image())
    }
}
