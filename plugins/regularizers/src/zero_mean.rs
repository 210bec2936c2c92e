//! The mean over the batch of `|x_1 + ... + x_D|`: an embedding costs nothing when its numbers have the mean 0.
//!
//! This is what pytorch-metric-learning calls so. Nothing is trainable, mined tuples are not used.

use lossmith_sdk::prelude::*;

strategy! {
    /// Absolute sum of the numbers of each embedding.
    pub struct ZeroMean as "zero-mean" {
        /// How the sums become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for ZeroMean {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let sums = batch.embeddings().sum(1).abs();
        self.reducer.reduce(&sums, &sums.ones_like(), batch)
    }
}
