//! `mean_P softplus(alpha (m_p - s_ij)) / alpha + mean_N softplus(alpha (s_ij - m_n)) / alpha` with cosines s, over the positive pairs
//! P and the negative pairs N.

use lossmith_sdk::prelude::*;

strategy! {
    /// Contrastive loss on cosines with soft hinges.
    pub struct SoftContrastive as "soft-contrastive" {
        /// How sharp the hinges are.
        alpha: f64 = 8.0, range above(0.0);
        /// Cosine above which a positive pair costs little.
        positive_margin: f64 = 0.8, range -1.0..=1.0;
        /// Cosine below which a negative pair costs little.
        negative_margin: f64 = 0.3, range -1.0..=1.0;
    }
}

impl Loss for SoftContrastive {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let cosines = embeddings.cosine_matrix(&embeddings);
        // What the objective's miner found; without a miner all pairs.
        let pairs = PairWeights::of(batch);
        let pull = (self.positive_margin - &cosines).softplus(self.alpha);
        let push = (&cosines - self.negative_margin).softplus(self.alpha);
        Ok(mean(&pull, &pairs.positive) + mean(&push, &pairs.negative))
    }
}

/// Mean of `values` with `weights`; 0 where nothing counts.
fn mean(values: &Tensor, weights: &Tensor) -> Tensor {
    (values * weights).sum(ALL) / weights.sum(ALL).at_least(1.0)
}

export! { losses: [SoftContrastive] }
