//! A fusion: the slices of an embedding in, one embedding out.
//!
//! `batch.slices()` are the K slices, each B x D/K. The result is a float matrix with a row for each image, B x D'. It
//! is called where embeddings are measured, so a batch has no labels, no teacher and no tuples here.

use lossmith_sdk::prelude::*;

export! { fusions: [{{struct}}] }

strategy! {
    /// The normalised slices behind each other, each with a weight.
    pub struct {{struct}} as "{{name}}" {
        // Each parameter has a default, one line for users, and a range that the host checks.
        /// A weight for each slice; none: all weigh 1.
        weights: Vec<f64> = Vec::new(), range 0.0..;
    }
}

impl Fusion for {{struct}} {
    fn fuse(&self, batch: &Batch, _progress: &Progress) -> Result<Tensor> {
        let slices = batch.slices();
        let weights = if self.weights.is_empty() { vec![1.0; slices.len()] } else { self.weights.clone() };
        if weights.len() != slices.len() {
            // The text is all that the user sees.
            let (given, wanted) = (weights.len(), slices.len());
            return Err(format!("`weights` has {given} numbers, and there are {wanted} slices").into());
        }
        // The root: |x - y|^2 of the result is the weighted sum of those of the slices.
        let weighted: Vec<Tensor> =
            slices.iter().zip(weights).map(|(x, weight)| x.normalize(2.0, 1) * weight.sqrt()).collect();
        Ok(Tensor::cat(&weighted.iter().collect::<Vec<_>>(), 1))
    }
}
