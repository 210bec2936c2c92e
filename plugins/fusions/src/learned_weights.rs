//! Slices with weights that are learned.

use lossmith_sdk::prelude::*;

use crate::slices::{joined, normalized};

strategy! {
    /// The normalised slices with learned weights, one for each slice; needs an objective on the fused embedding.
    ///
    /// The parameter `logits` (K, at first 0) gives `w = K softmax(logits)`, so the weights are positive and their mean
    /// is 1; they begin as a plain concatenation.
    pub struct LearnedWeights as "learned-weights" {
        /// `logits` learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 10.0, range 0.0..;
    }
}

impl Fusion for LearnedWeights {
    fn fuse(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let count = batch.slice_count();
        let logits =
            state::parameter("logits", self.learning_rate_multiplier, || Tensor::zeros(&[count], Dtype::Float));
        // The root of a weight that is rounded to 0 would have an infinite gradient.
        let roots = (logits.log_softmax(0) / 2.0).exp() * (count as f64).sqrt();
        Ok(joined(&(normalized(batch) * roots.unsqueeze(1))))
    }
}
