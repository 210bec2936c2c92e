//! The slots of objectives.

use crate::slot::Slot;

/// A slot with the name that its metrics and its state begin with: `objective.0.loss`.
pub(super) struct Placed {
    pub(super) place: String,
    pub(super) slot: Slot,
}

impl Placed {
    /// A slot of an objective: it is named for what its strategy does.
    pub(super) fn new(objective: &str, slot: Slot) -> Self {
        Self { place: format!("{objective}.{}", slot.role()), slot }
    }
}
