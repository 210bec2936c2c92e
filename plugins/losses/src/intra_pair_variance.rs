//! With cosines `s`, their mean `p` over the positive pairs and `n` over the negative pairs,
//! `sum [(1 - positive_epsilon) p - s_ap]_+^2 + sum [s_an - (1 + negative_epsilon) n]_+^2`, each sum reduced over its
//! pairs.
//!
//! The gradient flows through the means. With distances both hinges turn round. A pair that a miner found twice counts
//! twice. Both epsilons are the paper's. It goes with another loss in the objectives, for instance `tuplet-margin`.

use lossmith_sdk::prelude::*;

strategy! {
    /// Intra-pair variance loss, Yu and Tao 2019.
    pub struct IntraPairVariance as "intra-pair-variance" {
        /// Positive pairs may be worse than their mean by this share of it.
        positive_epsilon: f64 = 0.01, range 0.0..=1.0;
        /// Negative pairs may be worse than their mean by this share of it.
        negative_epsilon: f64 = 0.01, range 0.0..=1.0;
        /// How embeddings are compared.
        distance: Distance = Distance::cosine();
        /// How the losses of the positive pairs and of the negative pairs become one number each.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for IntraPairVariance {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let matrix = self.distance.matrix(&batch.embeddings());
        let pairs = PairWeights::of(batch);
        let mean = |weights: &Tensor| (&matrix * weights).sum(ALL) / weights.sum(ALL).at_least(1.0);
        let (of_positives, of_negatives) = (mean(&pairs.positive), mean(&pairs.negative));
        let (pull, push) = if self.distance.is_similarity() {
            (
                of_positives * (1.0 - self.positive_epsilon) - &matrix,
                &matrix - of_negatives * (1.0 + self.negative_epsilon),
            )
        } else {
            (
                &matrix - of_positives * (1.0 + self.positive_epsilon),
                of_negatives * (1.0 - self.negative_epsilon) - &matrix,
            )
        };
        let of_positives = self.reducer.reduce(&pull.relu().square(), &pairs.positive, batch)?;
        Ok(of_positives + self.reducer.reduce(&push.relu().square(), &pairs.negative, batch)?)
    }
}
