//! The `[sampler]` table of an experiment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a training batch is drawn: some classes, and the same number of images of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SamplerConfig {
    /// Different classes in a batch (P), at least 1 and at most the number of training classes.
    pub classes: usize,
    /// Images of each class in a batch (K), at least 1. Without `repeat` they are different, and K is at most the
    /// images of the smallest training class. With 1 a batch has no positive pair, which only losses with proxies can
    /// use, unless `views` is 2.
    pub samples: usize,
    /// How often an image stands in a batch, 1 or 2. With 2 the batch is all its images and then all of them again,
    /// twice as many as with 1, and each place has an augmentation of its own. The number of batches does not change.
    /// Default: 1.
    pub views: usize,
    /// Whether a class with fewer than `samples` training images gives some of them more than once in a batch; each
    /// place has an augmentation of its own. Without it such a class is an error. Default: false.
    pub repeat: bool,
    /// How often a class is drawn. Default: `uniform`.
    pub class_weights: ClassWeights,
}

/// How often a class is drawn into a batch. No class is twice in one batch, so a class with a large weight is at most
/// in every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// All equally often.
    #[default]
    Uniform,
    /// In proportion to the square root of the number of its training images.
    SquareRoot,
    /// In proportion to the number of its training images.
    Frequency,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self { classes: 10, samples: 12, views: 1, repeat: false, class_weights: ClassWeights::Uniform }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(toml::from_str::<SamplerConfig>("").unwrap(), SamplerConfig::default());
        let sampler: SamplerConfig = toml::from_str("class-weights = 'square-root'\nrepeat = true").unwrap();
        assert_eq!((sampler.class_weights, sampler.repeat), (ClassWeights::SquareRoot, true));
        assert!(toml::from_str::<SamplerConfig>("class-weights = 'squareroot'").is_err());
    }
}
