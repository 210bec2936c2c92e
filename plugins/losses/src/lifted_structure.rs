//! With distances `d`, for each positive pair, where `n` is every negative of `a` and then of `p`,
//! `[log(sum_n exp(negative_margin - d_an) + sum_n exp(negative_margin - d_pn)) + d_ap - positive_margin]_+^2 / 2`.
//!
//! The negatives of each image are summed once, so that memory is B x B however many pairs there are. A pair without
//! negatives has 0 in the place of the logarithm, as in the reference; a batch without negatives costs nothing. A
//! negative pair that a miner found twice stands twice in the sum. Both margins are the reference's.

use lossmith_sdk::prelude::*;

strategy! {
    /// Lifted structured embedding, Song et al. 2016.
    pub struct LiftedStructure as "lifted-structure" {
        /// Distance that negative pairs should exceed; with cosines, the cosine that they should not.
        negative_margin: f64 = 1.0;
        /// What is taken off the distance of positive pairs; with cosines, what the cosine is taken off.
        positive_margin: f64 = 0.0;
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
        /// How the losses of the positive pairs become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for LiftedStructure {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let matrix = self.distance.matrix(&batch.embeddings());
        let pairs = PairWeights::of(batch);
        let weighted = self.distance.within(self.negative_margin).excess(&matrix) + pairs.negative.at_least(1.0).log();
        let is_negative = pairs.negative.gt(0.0);
        let negatives = weighted.logsumexp_where(&is_negative, 1);
        let (of_anchor, of_positive) = (negatives.unsqueeze(1), negatives.unsqueeze(0));
        // log(e^x + e^y), where an empty sum is far below the other one.
        let larger = of_anchor.maximum(&of_positive);
        let push = larger - (of_anchor - of_positive).abs().log_sigmoid();
        let none = is_negative.any(1).logical_not();
        let push = push.masked_fill(&none.unsqueeze(1).logical_and(&none.unsqueeze(0)), 0.0);
        let losses = (push + self.distance.beyond(self.positive_margin).excess(&matrix)).relu().square() / 2.0;
        self.reducer.reduce(&(losses * is_negative.any(ALL)), &pairs.positive, batch)
    }
}
