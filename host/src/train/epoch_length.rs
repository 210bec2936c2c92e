//! Which epoch a step is in.
//!
//! Epochs have the same number of steps as long as the data stays as it is. Where a run went on with changed data, an
//! epoch begins, and those from there on have as many steps as the new data gives.

/// Where the epochs of the present length begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// The step at which the first of them begins.
    pub(super) step: u64,
    /// Epochs that were complete then.
    pub(super) epoch: u64,
}

impl Pace {
    /// Epochs that are complete after so many steps.
    pub(super) fn epoch(self, step: u64, steps_per_epoch: u64) -> u64 {
        self.epoch + step.saturating_sub(self.step) / steps_per_epoch
    }

    /// Steps of the epoch at work that are complete.
    pub(super) fn inside(self, step: u64, steps_per_epoch: u64) -> u64 {
        step.saturating_sub(self.step) % steps_per_epoch
    }

    /// The step at which an epoch begins.
    pub(super) fn start(self, epoch: u64, steps_per_epoch: u64) -> u64 {
        self.step + epoch.saturating_sub(self.epoch) * steps_per_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_of_another_length_begin_where_the_data_changed() {
        // Four epochs of 6 steps, then epochs of 5.
        let pace = Pace { step: 24, epoch: 4 };
        let epochs: Vec<u64> = [24, 28, 29, 34].into_iter().map(|step| pace.epoch(step, 5)).collect();
        assert_eq!(epochs, [4, 4, 5, 6]);
        assert_eq!((pace.inside(24, 5), pace.inside(28, 5), pace.inside(29, 5)), (0, 4, 0));
        assert_eq!((pace.start(4, 5), pace.start(6, 5)), (24, 34));
        assert_eq!((Pace::default().epoch(13, 6), Pace::default().inside(13, 6)), (2, 1));
    }
}
