//! The mean over the batch of `(|x|^2 - m)^2 / 4`, where m is the mean of `|x|^2`: embeddings of one length cost
//! nothing.
//!
//! The paper has this for the centers of classes (the regularizer `center-invariant`); on embeddings it is our reading.
//! m is that of the whole batch, whatever the reducer. Nothing is trainable, mined tuples are not used.

use lossmith_sdk::prelude::*;

strategy! {
    /// Embeddings of one length, by the formula of Wu et al. 2017 (center invariant loss).
    pub struct EqualNorm as "equal-norm" {
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for EqualNorm {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let squares = batch.embeddings().square().sum(1);
        let losses = (&squares - squares.mean(ALL)).square() / 4.0;
        self.reducer.reduce(&losses, &losses.ones_like(), batch)
    }
}
