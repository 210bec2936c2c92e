//! The mean over the batch of `(|x|^2 - m)^2 / 4`, where m is the mean of `|x|^2`: embeddings of one length cost nothing.
//!
//! The paper has this for the centers of classes (the regularizer `center-invariant`); on embeddings it is our reading. There
//! are no parameters, nothing is trainable, mined tuples are not used.

use lossmith_sdk::prelude::*;
use lossmith_sdk::uneven_norms;

strategy! {
    /// Embeddings of one length, by the formula of Wu et al. 2017 (center invariant loss).
    pub struct EqualNorm as "equal-norm" {}
}

impl Loss for EqualNorm {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        Ok(uneven_norms(&batch.embeddings()))
    }
}
