//! A range that widens over the epochs.

use lossmith_sdk::prelude::*;

use crate::range::{Range, places};

strategy! {
    /// Equal steps in a range that widens, epoch by epoch, from one threshold to the whole range.
    ///
    /// In epoch e of E the share `s = min(1, e / (widening E))` of the way is gone: the ends are
    /// `start + s (minimum - start)` and `start + s (maximum - start)`. The first epoch has the threshold `start` in
    /// each slice.
    pub struct Curriculum as "curriculum" {
        /// Lower end of the whole range.
        minimum: f64 = 0.1, range above(0.0);
        /// Upper end of the whole range.
        maximum: f64 = 1.4, range above(0.0);
        /// Threshold of all slices in the first epoch, inside the whole range.
        start: f64 = 0.3, range above(0.0);
        /// Share of the run's epochs after which the range is whole.
        widening: f64 = 0.5, range (std::ops::Bound::Excluded(0.0), std::ops::Bound::Included(1.0));
    }
}

impl Schedule for Curriculum {
    fn thresholds(&self, batch: &Batch, progress: &Progress) -> Result<Vec<f64>> {
        let whole = Range::new(self.minimum, self.maximum)?;
        if whole.clamp(self.start) != self.start {
            let (start, minimum, maximum) = (self.start, self.minimum, self.maximum);
            return Err(
                format!("`start` is {start} and must be from `minimum` ({minimum}) to `maximum` ({maximum})").into()
            );
        }
        let gone = progress.epoch() as f64 / (self.widening * progress.epochs().max(1) as f64);
        let from_start = |end: f64| self.start + gone.min(1.0) * (end - self.start);
        let range = Range::new(from_start(self.minimum), from_start(self.maximum))?;
        Ok(places(batch.slice_count()).map(|place| range.at(place)).collect())
    }
}
