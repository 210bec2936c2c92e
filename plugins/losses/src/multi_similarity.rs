//! With cosines `s`, the mean over anchors of
//! `log(1 + sum_p exp(-alpha (s_ap - base))) / alpha + log(1 + sum_n exp(beta (s_an - base))) / beta`.
//!
//! With distances both signs turn round: `exp(alpha (d_ap - base))` and `exp(-beta (d_an - base))`. A pair that a miner
//! found twice counts once. An anchor without pairs costs nothing, and is one of the anchors all the same. The defaults
//! are the reference's.

use lossmith_sdk::prelude::*;

strategy! {
    /// Multi-similarity loss, Wang et al. 2019. Its miner is the miner `multi-similarity`.
    pub struct MultiSimilarity as "multi-similarity" {
        /// Sharpness for positive pairs.
        alpha: f64 = 2.0, range above(0.0);
        /// Sharpness for negative pairs.
        beta: f64 = 50.0, range above(0.0);
        /// Cosine that positive pairs should exceed and negative pairs should not; with distances, the other way round.
        base: f64 = 0.5;
        /// How embeddings are compared. Distances want another base, for instance 1.
        distance: Distance = Distance::cosine();
        /// How the losses of the anchors become one number.
        reducer: Reducer = Reducer::mean();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for MultiSimilarity {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        self.memory.add(batch, progress, |pairs| {
            let within =
                self.distance.within(self.base).excess(&self.distance.between(&pairs.anchors, pairs.references()));
            let pull = (&within * -self.alpha).logsumexp_where(&pairs.positive.gt(0.0), 1).log1p_exp();
            let push = (&within * self.beta).logsumexp_where(&pairs.negative.gt(0.0), 1).log1p_exp();
            let losses = pull / self.alpha + push / self.beta;
            self.reducer.reduce(&losses, &losses.ones_like(), batch)
        })
    }
}
