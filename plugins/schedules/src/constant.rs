//! One threshold for all slices: what slicing does without different thresholds.

use lossmith_sdk::prelude::*;

strategy! {
    /// The same threshold for each slice: the ablation that leaves slicing alone.
    pub struct Constant as "constant" {
        /// The threshold.
        threshold: f64 = 0.2, range above(0.0);
    }
}

impl Schedule for Constant {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        Ok(vec![self.threshold; batch.slice_count() as usize])
    }
}
