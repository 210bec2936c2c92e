//! A schedule: progress in, a threshold for each slice of the embedding out.
//!
//! The result is a list of `batch.slice_count()` finite numbers. `progress.epoch()` of `progress.epochs()` says where
//! the training is, `progress.metric("validation/map-at-r")` is the last value of a metric, or none.

use lossmith_sdk::prelude::*;

export! { schedules: [{{struct}}] }

strategy! {
    /// Equal steps from the lowest to the highest threshold.
    pub struct {{struct}} as "{{name}}" {
        // Each parameter has a default, one line for users, and a range that the host checks.
        /// Threshold of the first slice.
        minimum: f64 = 0.1, range above(0.0);
        /// Threshold of the last slice.
        maximum: f64 = 1.4, range above(0.0);
    }
}

impl Schedule for {{struct}} {
    fn thresholds(&self, batch: &Batch, _progress: &Progress) -> Result<Vec<f64>> {
        if self.minimum > self.maximum {
            // The text is all that the user sees.
            return Err("`minimum` is above `maximum`".into());
        }
        let count = batch.slice_count();
        if count == 1 {
            return Ok(vec![(self.minimum + self.maximum) / 2.0]);
        }
        let step = (self.maximum - self.minimum) / (count - 1) as f64;
        Ok((0..count).map(|slice| self.minimum + step * slice as f64).collect())
    }
}
