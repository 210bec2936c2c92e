//! The mean over the batch of `|x|_p`.
//!
//! Losses that normalise embeddings leave their lengths free; this keeps them from growing. The default is that of
//! pytorch-metric-learning. Nothing is trainable, mined tuples are not used.

use lossmith_sdk::prelude::*;
use lossmith_sdk::row_norms;

strategy! {
    /// Mean p-norm of the embeddings.
    pub struct LpNorm as "lp-norm" {
        /// Order of the norm.
        p: f64 = 2.0, range 1.0..;
        /// How the norms become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for LpNorm {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let norms = row_norms(&batch.embeddings(), self.p);
        self.reducer.reduce(&norms, &norms.ones_like(), batch)
    }
}
