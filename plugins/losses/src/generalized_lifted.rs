//! With distances `d`, for each anchor
//! `[log sum_p exp(d_ap - positive_margin) + log sum_n exp(negative_margin - d_an)]_+`.
//!
//! A sum without pairs has 0 in the place of its logarithm, as in the reference, so that an anchor with positives only
//! or with negatives only costs something. A pair that a miner found twice counts once. Both margins are the
//! reference's.

use lossmith_sdk::prelude::*;

strategy! {
    /// Generalised lifted structure loss, Hermans, Beyer and Leibe 2017.
    pub struct GeneralizedLifted as "generalized-lifted" {
        /// Distance that negative pairs should exceed; with cosines, the cosine that they should not.
        negative_margin: f64 = 1.0;
        /// What is taken off the distance of positive pairs; with cosines, what the cosine is taken off.
        positive_margin: f64 = 0.0;
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
        /// How the losses of the anchors become one number.
        reducer: Reducer = Reducer::mean();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for GeneralizedLifted {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        self.memory.add(batch, progress, |pairs| {
            let matrix = self.distance.between(&pairs.anchors, pairs.references());
            let pull = logarithm(&self.distance.beyond(self.positive_margin).excess(&matrix), &pairs.positive);
            let push = logarithm(&self.distance.within(self.negative_margin).excess(&matrix), &pairs.negative);
            let losses = (pull + push).relu();
            self.reducer.reduce(&losses, &losses.ones_like(), batch)
        })
    }
}

/// For each row `log(sum(exp(values)))` over the pairs that count; 0 without any.
fn logarithm(values: &Tensor, weights: &Tensor) -> Tensor {
    let counts = weights.gt(0.0);
    values.logsumexp_where(&counts, 1).masked_fill(&counts.any(1).logical_not(), 0.0)
}
