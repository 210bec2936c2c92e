//! `[ranks]` of the experiment file.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Several processes that train one run together. Without several none of it matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RanksConfig {
    /// Seconds, at least 1, after which a process that does not come or does not answer ends the training. A step on a
    /// part of a batch must take less. Default: 60.
    #[schemars(range(min = 1))]
    pub timeout: u64,
    /// Takes the statistics of batch normalisation over the whole batch. Otherwise `model.freeze-batch-norm` must be
    /// on: with statistics of its own each process would train another network. Default: true.
    pub sync_batch_norm: bool,
}

impl Default for RanksConfig {
    fn default() -> Self {
        Self { timeout: 60, sync_batch_norm: true }
    }
}

impl RanksConfig {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How long a rank is waited for.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.max(1))
    }
}
