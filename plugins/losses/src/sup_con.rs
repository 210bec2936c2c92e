//! With cosines `s`, for each anchor the mean over its positives of
//! `-log(exp(s_ap / t) / sum_j exp(s_aj / t))`, where `j` is every positive and negative; averaged over the anchors
//! whose loss is above 0. A batch without negatives costs nothing.

use lossmith_sdk::prelude::*;

strategy! {
    /// Supervised contrastive loss, Khosla et al. 2020, eq. 2.
    pub struct SupCon as "sup-con" {
        /// What cosines are divided by; lower is sharper.
        temperature: f64 = 0.1, range above(0.0);
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for SupCon {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        self.memory.add(batch, progress, |pairs| {
            let (positive, negative) = (pairs.positive.gt(0.0), pairs.negative.gt(0.0));
            let logits = pairs.anchors.cosine_matrix(pairs.references()) / self.temperature;
            let all = logits.logsumexp_where(&positive.logical_or(&negative), keep(1));
            let of_positives = ((all - logits) * &positive).sum(1) / positive.sum(1).to_float().at_least(1.0);
            let losses = of_positives * negative.any(ALL);
            Reducer::average_non_zero().reduce(&losses, &losses.ones_like(), batch)
        })
    }
}
