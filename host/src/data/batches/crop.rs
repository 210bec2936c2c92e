//! Random crops.

use lossmith_images::Crop;
use rand::{Rng, RngExt};

use crate::data::AugmentationConfig;

/// Draws of a rectangle before the largest one in the middle is taken.
const TRIES: usize = 10;

/// A rectangle of random area, ratio (uniform in its logarithm) and place that lies in the image. If none of ten
/// draws of area and ratio fits, it is the largest in the middle of the image's own ratio as far as the range of
/// ratios allows.
pub(super) fn random_crop(width: usize, height: usize, config: &AugmentationConfig, random: &mut impl Rng) -> Crop {
    let mut between = |[low, high]: [f64; 2]| low + (high - low) * random.random::<f64>();
    let (width, height) = (width as f64, height as f64);
    let [narrowest, widest] = config.crop_ratio;
    let mut crop = Crop::middle(width, height, (width / height).max(narrowest).min(widest));
    for _ in 0..TRIES {
        let area = width * height * between(config.crop_scale);
        let ratio = between([narrowest.ln(), widest.ln()]).exp();
        let (w, h) = ((area * ratio).sqrt(), (area / ratio).sqrt());
        if w <= width && h <= height {
            let (left, top) = (between([0.0, width - w]), between([0.0, height - h]));
            crop = Crop { left, top, width: w, height: h, flip: false };
            break;
        }
    }
    crop.flip = between([0.0, 1.0]) < config.flip;
    crop
}

#[cfg(test)]
mod tests {
    use super::*;
    use lossmith_plugin::random_streams::{Purpose, generator};

    fn draw(width: usize, height: usize, config: &AugmentationConfig) -> Vec<Crop> {
        let crop = |b| random_crop(width, height, config, &mut generator(1, Purpose::Augmentation, 0, b));
        (0..2000).map(crop).collect()
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
