//! `[training]` of the experiment file.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a step is computed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TrainingConfig {
    /// Images that the network computes at once, at least 1: a larger batch is computed in parts, so that its size is
    /// not bounded by the memory for activations. The objectives see the whole batch; the network computes each part
    /// twice. The gradient is that of the whole batch, but for batch normalisation, which takes the statistics of each
    /// part, unless `model.freeze-batch-norm` is on. A batch of no more images is not divided. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<NonZeroUsize>,
}

impl TrainingConfig {
    /// Whether nothing is set.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
