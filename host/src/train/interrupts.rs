//! What signals ask of a training at work, and what would be lost if it ended now.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by a training and the thread that receives signals.
#[derive(Debug, Default)]
pub struct Interrupts {
    stop: AtomicBool,
    checkpoint: AtomicBool,
    unsaved: AtomicU64,
}

impl Interrupts {
    /// Asks the training to finish its step, save its state, and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to end.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asks the training to save its state after this step, and to go on.
    pub fn save(&self) {
        self.checkpoint.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to save its state since this was called last.
    pub(super) fn take_save(&self) -> bool {
        self.checkpoint.swap(false, Ordering::Relaxed)
    }

    /// Complete steps that no checkpoint has.
    #[must_use]
    pub fn unsaved(&self) -> u64 {
        self.unsaved.load(Ordering::Relaxed)
    }

    pub(super) fn set_unsaved(&self, steps: u64) {
        self.unsaved.store(steps, Ordering::Relaxed);
    }
}
