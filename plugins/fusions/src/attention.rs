//! Slices with weights that depend on the image.

use lossmith_sdk::prelude::*;

use crate::slices::{joined, normalized};

strategy! {
    /// The normalised slices with weights that each image has of its own; needs an objective on the fused embedding.
    /// Our own.
    ///
    /// The parameter `queries` (K x D/K, at first 0) gives slice k of an image the weight
    /// `w_k = K softmax_k(x_k . q_k / temperature)`: a plain concatenation at first.
    pub struct Attention as "attention" {
        /// What the products are divided by; lower is sharper.
        temperature: f64 = 1.0, range above(0.0);
        /// `queries` learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 10.0, range 0.0..;
    }
}

impl Fusion for Attention {
    fn fuse(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (count, slices) = (batch.slice_count(), normalized(batch));
        let queries = state::parameter("queries", self.learning_rate_multiplier, || {
            Tensor::zeros(&[count, slices.size(2)], Dtype::Float)
        });
        let scores = (&slices * &queries).sum(2) / self.temperature;
        // The root of a weight that is rounded to 0 would have an infinite gradient.
        let roots = (scores.log_softmax(1) / 2.0).exp() * (count as f64).sqrt();
        Ok(joined(&(slices * roots.unsqueeze(2))))
    }
}
