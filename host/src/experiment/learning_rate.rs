//! The `[learning-rate]` table of an experiment file.

use super::out_of_range::{OutOfRange, check_range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate changes over the run. Everything here is a factor on the optimizer's `learning-rate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LearningRateConfig {
    /// The course after the warm-up. Default: `constant`.
    pub schedule: Schedule,
    /// Epochs, parts of one allowed, in which the factor rises in equal steps to 1; at least 0. Default: 0.
    #[schemars(range(min = 0.0))]
    pub warmup_epochs: f64,
    /// Epochs between two drops, at least 1; for `step`. Default: 10.
    #[schemars(range(min = 1))]
    pub step_epochs: u64,
    /// What each drop multiplies by, above 0 and at most 1; for `step`. Default: 0.1.
    pub gamma: f64,
    /// The smallest factor, from 0 to 1, where `cosine` ends and below which `step` does not drop. Default: 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub minimum: f64,
}

/// The course of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls along half a cosine to `minimum` at the end of the run (Loshchilov and Hutter, "SGDR", 2017, without
    /// restarts).
    Cosine,
    /// It drops by `gamma` every `step-epochs`, counted from the start of the run.
    Step,
}

impl Default for LearningRateConfig {
    fn default() -> Self {
        Self { schedule: Schedule::Constant, warmup_epochs: 0.0, step_epochs: 10, gamma: 0.1, minimum: 0.0 }
    }
}

impl LearningRateConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The first number outside of its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let Self { schedule: _, warmup_epochs, step_epochs, gamma, minimum } = *self;
        check_range(
            "learning-rate.warmup-epochs",
            warmup_epochs,
            warmup_epochs >= 0.0 && warmup_epochs.is_finite(),
            "0 or more",
        )?;
        check_range("learning-rate.step-epochs", step_epochs as f64, step_epochs > 0, "1 or more")?;
        check_range("learning-rate.gamma", gamma, gamma > 0.0 && gamma <= 1.0, "above 0 and at most 1")?;
        check_range("learning-rate.minimum", minimum, (0.0..=1.0).contains(&minimum), "from 0 to 1")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn ranges_are_checked() {
        assert!(LearningRateConfig::default().check().is_ok());
        for text in [
            "warmup-epochs = -1.0",
            "warmup-epochs = inf",
            "step-epochs = 0",
            "gamma = 0.0",
            "gamma = nan",
            "minimum = 1.5",
        ] {
            let config: LearningRateConfig = toml::from_str(text).unwrap();
            assert!(matches!(config.check(), Err(OutOfRange { .. })), "{text}");
        }
    }
}
