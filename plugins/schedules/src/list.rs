//! Thresholds one by one.

use lossmith_sdk::prelude::*;

strategy! {
    /// The thresholds as they are listed, one for each slice.
    pub struct List as "list" {
        /// The thresholds, in the order of the slices.
        thresholds: Vec<f64> = Vec::new(), range above(0.0);
    }
}

impl Schedule for List {
    fn thresholds(&self, batch: &Batch, _: &Progress) -> Result<Vec<f64>> {
        let (listed, slices) = (self.thresholds.len(), batch.slice_count());
        if listed as i64 == slices {
            return Ok(self.thresholds.clone());
        }
        let [thresholds, slices] =
            [(listed as i64, "threshold"), (slices, "slice")].map(|(count, what)| plural(count, what));
        Err(format!("{thresholds} for {slices}: list one for each slice, or change `model.slices`").into())
    }
}

fn plural(count: i64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
