//! With cosines `s`, for each anchor the mean over its positives of
//! `-log(exp(s_ap / t) / sum_j exp(s_aj / t))`, where `j` is every positive and negative; averaged over the anchors
//! whose loss is above 0. A batch without negatives costs nothing.
//!
//! With distances `d`, `-d` is in the place of `s`. A pair that a miner found twice counts once.

use lossmith_sdk::prelude::*;

strategy! {
    /// Supervised contrastive loss, Khosla et al. 2020, eq. 2.
    pub struct SupCon as "sup-con" {
        /// What cosines are divided by, or distances; lower is sharper.
        temperature: f64 = 0.1, range above(0.0);
        /// How embeddings are compared.
        distance: Distance = Distance::cosine();
        /// How the losses of the anchors become one number.
        reducer: Reducer = Reducer::average_non_zero();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for SupCon {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let temperature = if self.distance.is_similarity() { self.temperature } else { -self.temperature };
        self.memory.add(batch, progress, |pairs| {
            let (positive, negative) = (pairs.positive.gt(0.0), pairs.negative.gt(0.0));
            let logits = self.distance.between(&pairs.anchors, pairs.references()) / temperature;
            let all = logits.logsumexp_where(&positive.logical_or(&negative), keep(1));
            let of_positives = ((all - logits) * &positive).sum(1) / positive.sum(1).to_float().at_least(1.0);
            let losses = of_positives * negative.any(ALL);
            self.reducer.reduce(&losses, &losses.ones_like(), batch)
        })
    }
}
