//! `G = F F^T` of the embeddings as they are, each row divided by its norm: `l_ij = (G^t_ij - G^f_ij)^2`, divided by
//! B^2.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// Similarity-preserving knowledge distillation, Tung and Mori 2019.
    pub struct SimilarityPreserving as "similarity-preserving" {}
}

impl Transfer for SimilarityPreserving {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let similarities = |x: &Tensor| x.matmul(&x.transpose(0, 1)).normalize(2.0, 1);
        let difference = similarities(&batch.embeddings()) - similarities(&teacher(batch)?);
        let size = batch.size() as f64;
        Ok(PairLosses::new(&difference.square(), size * size))
    }
}
