//! The `[session]` table of an experiment file.

use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How edits of a running training are taken, and what happens to one that fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SessionConfig {
    /// Milliseconds for which followed files must be quiet before they are read. Default 200.
    pub quiet_ms: NonZeroU64,
    /// Steps after a swap in which a fault always leads back to the revision before; they end with the epoch at the
    /// latest. Default 50.
    pub probation_steps: u64,
    /// In these steps, a loss above so many times the largest of its first step's and the epoch before's is a fault,
    /// too. At least 1. Default 100.
    #[schemars(range(min = 1.0))]
    pub divergence: f64,
    /// What happens at a fault of a revision after these steps. A fault of what the run began with always ends it.
    /// Default `rollback`.
    pub on_fault: OnFault,
    /// The largest share of the training's time that all shadows together may take, from 0 to below 1. Default 0.1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub shadow_share: f64,
}

/// What happens at a fault of a strategy that was swapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFault {
    /// The epoch is trained again with the revision before.
    Rollback,
    /// The run ends; its state is saved.
    Abort,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            quiet_ms: NonZeroU64::MIN.saturating_add(199),
            probation_steps: 50,
            divergence: 100.0,
            on_fault: OnFault::Rollback,
            shadow_share: 0.1,
        }
    }
}

impl SessionConfig {
    /// Checks the ranges; an error is the key and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.divergence.is_nan() || self.divergence < 1.0 {
            return Err(("divergence", "it must be at least 1"));
        }
        if !(0.0..1.0).contains(&self.shadow_share) {
            return Err(("shadow-share", "it must be from 0 to below 1"));
        }
        Ok(())
    }
}
