//! Slices with weights that the experiment gives.

use lossmith_sdk::prelude::*;

use crate::slices::{joined, normalized};

strategy! {
    /// The normalised slices with fixed weights: `|x - y|^2 = sum_k w_k |x_k - y_k|^2`.
    pub struct Weighted as "weighted" {
        /// A weight for each slice, not all 0.
        weights: Vec<f64> = Vec::new(), range 0.0..;
    }
}

impl Fusion for Weighted {
    fn fuse(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (given, count) = (self.weights.len() as i64, batch.slice_count());
        if given != count {
            return Err(format!(
                "`weights` has {given} numbers, and `model.slices` is {count}: give one for each slice"
            )
            .into());
        }
        if self.weights.iter().all(|weight| *weight == 0.0) {
            return Err("all `weights` are 0: at least one slice must count".into());
        }
        let scales: Vec<f64> = self.weights.iter().map(|weight| weight.sqrt()).collect();
        Ok(joined(&(normalized(batch) * Tensor::from_doubles(&scales, &[count, 1]))))
    }
}
