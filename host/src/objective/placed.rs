//! A slot with its place in the experiment.

use crate::plugin::Slot;

/// A slot with its place in the experiment: `objective.0.loss`.
pub(super) struct Placed {
    pub(super) place: String,
    pub(super) slot: Slot,
}
