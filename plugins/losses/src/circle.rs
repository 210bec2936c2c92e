//! With cosines `s` and both weights `[.]_+` as constants, for each anchor
//! `log(1 + sum_p exp(-gamma [1 + margin - s_ap]_+ (s_ap - 1 + margin)) *
//! sum_n exp(gamma [s_an + margin]_+ (s_an - margin)))`.
//!
//! The gradient is not that of the value: Sun et al. 2020 hold the weights fixed in it. An anchor without a positive or
//! without a negative costs nothing. A pair that a miner found twice counts once. All defaults are the paper's for
//! image retrieval.

use lossmith_sdk::prelude::*;

strategy! {
    /// Circle loss, Sun et al. 2020, for pairs.
    pub struct Circle as "circle" {
        /// Cosines aimed at are 1 - margin for positive pairs and margin for negative pairs.
        margin: f64 = 0.4, range 0.0..=1.0;
        /// Sharpness.
        gamma: f64 = 80.0, range above(0.0);
        /// How the losses of the anchors become one number.
        reducer: Reducer = Reducer::average_non_zero();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for Circle {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        self.memory.add(batch, progress, |pairs| {
            let cosines = pairs.anchors.cosine_matrix(pairs.references());
            let fixed = cosines.detach();
            let weight = ((1.0 + self.margin) - &fixed).relu() * -self.gamma;
            let pull = (weight * (&cosines - (1.0 - self.margin))).logsumexp_where(&pairs.positive.gt(0.0), 1);
            let weight = (fixed + self.margin).relu() * self.gamma;
            let push = (weight * (cosines - self.margin)).logsumexp_where(&pairs.negative.gt(0.0), 1);
            let losses = (pull + push).log1p_exp();
            self.reducer.reduce(&losses, &losses.ones_like(), batch)
        })
    }
}
