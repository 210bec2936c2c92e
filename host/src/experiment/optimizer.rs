//! `[optimizer]` of the experiment file.

use super::out_of_range::{OutOfRange, check_range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the parameters follow their gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct OptimizerConfig {
    /// The algorithm. Default: `adamw`.
    pub name: Algorithm,
    /// Learning rate, above 0. Default: 0.001.
    pub learning_rate: f64,
    /// Weight decay, at least 0. `adamw` shrinks the parameters by it (times the learning rate); `sgd` and `adam` add
    /// it times the parameter to the gradient. Default: 0.0001.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Share of the last step that is kept, from 0 to below 1; for `sgd`. Default: 0.9.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub momentum: f64,
    /// Decay of the running means of the gradient and of its square, each from 0 to below 1; for `adam` and `adamw`.
    /// Default: [0.9, 0.999].
    pub betas: [f64; 2],
    /// Added to the denominator, above 0; for `adam` and `adamw`. Default: 1e-8.
    pub epsilon: f64,
    /// The largest global L2 norm of all gradients together, above 0; larger ones are scaled down. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Factors on the learning rate of parts of the network.
    pub multipliers: Multipliers,
}

/// An optimization algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Gradient descent with momentum.
    Sgd,
    /// Adam (Kingma and Ba, 2015).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
    Adamw,
}

/// Factors on the learning rate of parts of the network. A plugin gives the factor of its own parameters itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Multipliers {
    /// Of the backbone, at least 0. Default: 1.
    #[schemars(range(min = 0.0))]
    pub backbone: f64,
    /// Of the embedding head, at least 0. Default: 1.
    #[schemars(range(min = 0.0))]
    pub head: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            name: Algorithm::Adamw,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            momentum: 0.9,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            clip_norm: None,
            multipliers: Multipliers::default(),
        }
    }
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { backbone: 1.0, head: 1.0 }
    }
}

impl OptimizerConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// The first number outside of its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let positive = |key, value: f64| check_range(key, value, value > 0.0 && value.is_finite(), "above 0");
        let at_least_zero = |key, value: f64| check_range(key, value, value >= 0.0 && value.is_finite(), "0 or more");
        let share = |key, value: f64| check_range(key, value, (0.0..1.0).contains(&value), "from 0 to below 1");
        positive("optimizer.learning-rate", self.learning_rate)?;
        at_least_zero("optimizer.weight-decay", self.weight_decay)?;
        share("optimizer.momentum", self.momentum)?;
        self.betas.into_iter().try_for_each(|beta| share("optimizer.betas", beta))?;
        positive("optimizer.epsilon", self.epsilon)?;
        self.clip_norm.map_or(Ok(()), |norm| positive("optimizer.clip-norm", norm))?;
        at_least_zero("optimizer.multipliers.backbone", self.multipliers.backbone)?;
        at_least_zero("optimizer.multipliers.head", self.multipliers.head)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn ranges_are_checked() {
        assert!(OptimizerConfig::default().check().is_ok());
        for text in [
            "learning-rate = 0.0",
            "learning-rate = nan",
            "weight-decay = -1.0",
            "momentum = 1.0",
            "betas = [0.9, 1.0]",
            "epsilon = 0.0",
            "clip-norm = 0.0",
            "multipliers.head = -1.0",
            "multipliers.backbone = inf",
        ] {
            let config: OptimizerConfig = toml::from_str(text).unwrap();
            assert!(matches!(config.check(), Err(OutOfRange { .. })), "{text}");
        }
        assert!(toml::from_str::<OptimizerConfig>("lr = 0.1").is_err());
    }
}
