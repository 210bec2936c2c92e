//! The pixels of an image.

use std::borrow::Cow;

/// An image: rows from top to bottom, the channels of a pixel (1 or 3) side by side. There is at least one pixel.
pub struct Picture<'a> {
    /// `height` x `width` x channels bytes.
    pub pixels: Cow<'a, [u8]>,
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}
