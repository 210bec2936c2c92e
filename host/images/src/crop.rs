//! Crops: the rectangle of an image that the network sees.

/// A rectangle of an image in pixels, inside of it; its edges may lie inside pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Pixels left of it.
    pub left: f64,
    /// Pixels above it.
    pub top: f64,
    /// Its width, above 0.
    pub width: f64,
    /// Its height, above 0.
    pub height: f64,
    /// Whether left and right are exchanged.
    pub flip: bool,
}

impl Crop {
    /// The largest rectangle in the middle of `width` x `height` pixels whose width divided by its height is `ratio`.
    #[must_use]
    pub fn middle(width: f64, height: f64, ratio: f64) -> Self {
        let (w, h) = (width.min(height * ratio), height.min(width / ratio));
        Self { left: (width - w) / 2.0, top: (height - h) / 2.0, width: w, height: h, flip: false }
    }

    /// What evaluation sees: the largest square in the middle.
    #[must_use]
    pub fn square(width: usize, height: usize) -> Self {
        Self::middle(width as f64, height as f64, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_is_the_largest_in_the_middle() {
        let square = Crop { left: 10.0, top: 0.0, width: 20.0, height: 20.0, flip: false };
        assert_eq!(Crop::square(40, 20), square);
        assert_eq!(Crop::square(20, 40), Crop { left: 0.0, top: 10.0, ..square });
    }
}
