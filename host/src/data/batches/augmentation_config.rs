//! The `[data.augmentation]` table of an experiment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Random changes of the training images: a random crop that is resized to the network's input, then a horizontal flip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AugmentationConfig {
    /// Whether training images are changed at all. Without it they are prepared as for evaluation: the largest square
    /// in the middle, resized.
    pub enabled: bool,
    /// Smallest and largest share of the image's area that a crop keeps, above 0 and at most 1.
    pub crop_scale: [f64; 2],
    /// Smallest and largest width of a crop divided by its height, above 0.
    pub crop_ratio: [f64; 2],
    /// Probability of a horizontal flip, 0 to 1.
    pub flip: f64,
}

impl Default for AugmentationConfig {
    fn default() -> Self {
        Self { enabled: true, crop_scale: [0.16, 1.0], crop_ratio: [0.75, 4.0 / 3.0], flip: 0.5 }
    }
}
