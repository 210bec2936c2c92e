//! The threshold of an embedding that is not sliced.

use lossmith_sdk::prelude::*;

strategy! {
    /// The threshold of an embedding that is one slice: the ordinary triplet loss.
    pub struct Single as "single" {
        /// The threshold.
        threshold: f64 = 0.2, range above(0.0);
    }
}

impl Schedule for Single {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        match batch.slice_count() {
            1 => Ok(vec![self.threshold]),
            count => Err(format!(
                "a single threshold is for one slice, and `model.slices` is {count}: set it to 1, or take `constant` \
                 for the same threshold in each slice"
            )
            .into()),
        }
    }
}
