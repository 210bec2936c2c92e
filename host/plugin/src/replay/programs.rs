//! The programs that a slot keeps.

use std::sync::Arc;

use crate::fused::Plan;
use crate::program::Situation;

/// Programs, the one that was used last at the end.
#[derive(Debug, Default)]
pub(crate) struct Programs(Vec<Arc<Plan>>);

impl Programs {
    /// The program that fits, if there is one.
    pub(crate) fn find(&mut self, situation: &Situation<'_>) -> Option<Arc<Plan>> {
        // Two that fit would be of one call: the newer one is as good.
        let place = self.0.iter().rposition(|plan| plan.program.fits(situation))?;
        self.0.get_mut(place..)?.rotate_left(1);
        self.0.last().cloned()
    }

    /// Whether a program fits.
    pub(crate) fn has(&self, situation: &Situation<'_>) -> bool {
        self.0.iter().any(|plan| plan.program.fits(situation))
    }

    /// Keeps a program, and forgets the least recently used one of more than `most`.
    pub(crate) fn add(&mut self, plan: Plan, most: u32) {
        self.0.push(Arc::new(plan));
        let surplus = self.0.len().saturating_sub(most as usize);
        drop(self.0.drain(..surplus));
    }

    /// The program that was added or used last.
    pub(crate) fn last(&self) -> Option<&Plan> {
        self.0.last().map(Arc::as_ref)
    }

    /// Forgets the program that was used last.
    pub(crate) fn forget_last(&mut self) {
        drop(self.0.pop());
    }
}
