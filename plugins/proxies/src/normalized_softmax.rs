//! Cross entropy of `s / temperature`, where `s` are the cosines between an image and the columns of `W`.
//!
//! The parameter `W` is D x C, one column for each class. With a miner, an image weighs as often as it is in the tuples,
//! divided by the count of the image that is in most of them; the mean is over the whole batch.

use lossmith_sdk::prelude::*;

strategy! {
    /// Normalised softmax loss, Wang et al. 2017 and Zhai and Wu 2019.
    pub struct NormalizedSoftmax as "normalized-softmax" {
        /// What cosines are divided by; lower is sharper.
        temperature: f64 = 0.05, range above(0.0);
        /// `W` learns with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for NormalizedSoftmax {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let weights = state::parameter("W", self.learning_rate_multiplier, || {
            random::normal(&[batch.dimension(), batch.class_count()])
        });
        let logits = batch.embeddings().cosine_matrix(&weights.transpose(0, 1)) / self.temperature;
        let losses = -logits.log_softmax(1).gather(1, &batch.labels().unsqueeze(1)).squeeze(1);
        Ok(match batch.tuples() {
            Some(tuples) => (losses * importance(&tuples, batch.size())).mean(ALL),
            None => losses.mean(ALL),
        })
    }
}

/// How often each image is in `tuples`, divided by the largest count; all 1 when there are no tuples.
fn importance(tuples: &Tuples, size: i64) -> Tensor {
    let mut positions = vec![tuples.anchors(), tuples.positives(), tuples.negatives()];
    if !tuples.are_triplets() {
        positions.push(tuples.negative_anchors());
    }
    let positions: Vec<_> = positions.iter().collect();
    let counts = Tensor::cat(&positions, 0).bincount(size).to_float();
    let largest = counts.amax(ALL);
    (&counts + largest.eq(0.0)) / largest.at_least(1.0)
}
