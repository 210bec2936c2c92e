//! Crops: the rectangle of an image that the network sees.

use rand::{Rng, RngExt};

use crate::data::AugmentationConfig;

/// A rectangle of an image in pixels; its edges may lie inside pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Crop {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Whether left and right are exchanged.
    pub(super) flip: bool,
}

/// Draws of a rectangle before the largest one in the middle is taken.
const TRIES: usize = 10;

impl Crop {
    /// The largest rectangle in the middle whose width divided by its height is `ratio`.
    fn middle(width: f64, height: f64, ratio: f64) -> Self {
        let (w, h) = (width.min(height * ratio), height.min(width / ratio));
        Self { left: (width - w) / 2.0, top: (height - h) / 2.0, width: w, height: h, flip: false }
    }

    /// What evaluation sees: the largest square in the middle.
    pub(super) fn square(width: usize, height: usize) -> Self {
        Self::middle(width as f64, height as f64, 1.0)
    }

    /// A rectangle of random area, ratio (uniform in its logarithm) and place that lies in the image. If none of ten
    /// draws of area and ratio fits, it is the largest in the middle of the image's own ratio as far as the range of
    /// ratios allows.
    pub(super) fn random(width: usize, height: usize, config: &AugmentationConfig, random: &mut impl Rng) -> Self {
        let mut between = |[low, high]: [f64; 2]| low + (high - low) * random.random::<f64>();
        let (width, height) = (width as f64, height as f64);
        let [narrowest, widest] = config.crop_ratio;
        let mut crop = Self::middle(width, height, (width / height).max(narrowest).min(widest));
        for _ in 0..TRIES {
            let area = width * height * between(config.crop_scale);
            let ratio = between([narrowest.ln(), widest.ln()]).exp();
            let (w, h) = ((area * ratio).sqrt(), (area / ratio).sqrt());
            if w <= width && h <= height {
                let (left, top) = (between([0.0, width - w]), between([0.0, height - h]));
                crop = Self { left, top, width: w, height: h, flip: false };
                break;
            }
        }
        crop.flip = between([0.0, 1.0]) < config.flip;
        crop
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lossmith_plugin::random_streams::{Purpose, generator};

    fn draw(width: usize, height: usize, config: &AugmentationConfig) -> Vec<Crop> {
        let crop = |b| Crop::random(width, height, config, &mut generator(1, Purpose::Augmentation, 0, b));
        (0..2000).map(crop).collect()
    }

    #[test]
    fn the_square_is_the_largest_in_the_middle() {
        let square = Crop { left: 10.0, top: 0.0, width: 20.0, height: 20.0, flip: false };
        assert_eq!(Crop::square(40, 20), square);
        assert_eq!(Crop::square(20, 40), Crop { left: 0.0, top: 10.0, ..square });
    }

    #[test]
    fn random_crops_keep_to_the_image_and_the_ranges() {
        let config = AugmentationConfig { crop_scale: [0.3, 0.6], flip: 0.25, ..AugmentationConfig::default() };
        let crops = draw(60, 40, &config);
        for crop in &crops {
            let (area, ratio) = (crop.width * crop.height / 2400.0, crop.width / crop.height);
            assert!(crop.left >= 0.0 && crop.left + crop.width <= 60.0 + 1e-9, "{crop:?}");
            assert!(crop.top >= 0.0 && crop.top + crop.height <= 40.0 + 1e-9, "{crop:?}");
            assert!((0.3 - 1e-9..=0.6 + 1e-9).contains(&area), "{crop:?}");
            assert!((0.75 - 1e-9..=4.0 / 3.0 + 1e-9).contains(&ratio), "{crop:?}");
        }
        let flips = crops.iter().filter(|crop| crop.flip).count();
        assert!((400..600).contains(&flips), "{flips} of 2000 at a probability of 0.25");
        assert!(draw(60, 40, &AugmentationConfig { flip: 0.0, ..config.clone() }).iter().all(|crop| !crop.flip));
        assert!(draw(60, 40, &AugmentationConfig { flip: 1.0, ..config }).iter().all(|crop| crop.flip));
    }

    #[test]
    fn what_never_fits_becomes_the_middle() {
        let config = AugmentationConfig { crop_scale: [1.0, 1.0], flip: 0.0, ..AugmentationConfig::default() };
        let middle = Crop { left: 40.0, top: 0.0, width: 20.0 * (4.0 / 3.0), height: 20.0, flip: false };
        for crop in draw(100, 20, &config) {
            assert_eq!(crop, Crop { left: (100.0 - middle.width) / 2.0, ..middle });
        }
    }
}
