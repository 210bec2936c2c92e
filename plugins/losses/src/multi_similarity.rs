//! With cosines `s`, the mean over anchors of
//! `log(1 + sum_p exp(-alpha (s_ap - base))) / alpha + log(1 + sum_n exp(beta (s_an - base))) / beta`.

use lossmith_sdk::prelude::*;

strategy! {
    /// Multi-similarity loss, Wang et al. 2019. Its miner is the miner `multi-similarity`.
    pub struct MultiSimilarity as "multi-similarity" {
        /// Sharpness for positive pairs.
        alpha: f64 = 2.0, range above(0.0);
        /// Sharpness for negative pairs.
        beta: f64 = 50.0, range above(0.0);
        /// Cosine that positive pairs should exceed and negative pairs should not.
        base: f64 = 0.5, range -1.0..=1.0;
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for MultiSimilarity {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        self.memory.add(batch, progress, |pairs| {
            let excess = pairs.anchors.cosine_matrix(pairs.references()) - self.base;
            let pull = (&excess * -self.alpha).logsumexp_where(&pairs.positive.gt(0.0), 1).log1p_exp();
            let push = (&excess * self.beta).logsumexp_where(&pairs.negative.gt(0.0), 1).log1p_exp();
            Ok((pull / self.alpha + push / self.beta).mean(ALL))
        })
    }
}
