//! Thresholds that are spread over the range once and for all.

use lossmith_sdk::prelude::*;

use crate::range::{Range, places};

strategy! {
    /// Equal steps from the lowest to the highest; our reading of the sampling of multi-threshold metric learning,
    /// 2024.
    ///
    /// `t_k = minimum + k (maximum - minimum) / (K - 1)` for k = 0 to K - 1; of one slice the middle of the range.
    pub struct Uniform as "uniform" {
        /// Threshold of the first slice.
        minimum: f64 = 0.1, range above(0.0);
        /// Threshold of the last slice.
        maximum: f64 = 1.4, range above(0.0);
    }
}

impl Schedule for Uniform {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        let range = Range::new(self.minimum, self.maximum)?;
        Ok(places(batch.slice_count()).map(|place| range.at(place)).collect())
    }
}

strategy! {
    /// Equal ratios from the lowest to the highest, so that small thresholds are sampled more densely.
    ///
    /// `t_k = minimum (maximum / minimum)^(k / (K - 1))` for k = 0 to K - 1; of one slice the geometric mean of the
    /// ends.
    pub struct Geometric as "geometric" {
        /// Threshold of the first slice.
        minimum: f64 = 0.1, range above(0.0);
        /// Threshold of the last slice.
        maximum: f64 = 1.4, range above(0.0);
    }
}

impl Schedule for Geometric {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        let range = Range::new(self.minimum, self.maximum)?;
        Ok(places(batch.slice_count()).map(|place| range.geometrically_at(place)).collect())
    }
}
