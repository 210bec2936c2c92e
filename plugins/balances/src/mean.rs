//! `lambda mean_I l_ij + (1 - lambda) mean_E l_ij`, plus `l_ii / divisor` of each image where the transfer gives it a
//! loss. With memberships `m_ij` of the teacher's split, a mean is `sum m_ij l_ij / sum m_ij`. An empty half adds 0.
//! Our reading of BET.

use lossmith_sdk::prelude::*;

use crate::split::{Split, inter};

/// In place of a sum of memberships that is 0.
const SMALL: f64 = 1e-12;

strategy! {
    /// The mean of the intra half weighs lambda, that of the inter half 1 - lambda; our reading of BET, Yu 2024.
    pub struct Mean as "mean" {
        /// Weight of the intra half's mean.
        lambda: f64 = 0.5, range 0.0..=1.0;
        /// What splits the pairs into halves.
        split: Split = Split::Label;
        /// Width of the teacher's relation, for `split = "teacher"`.
        sigma: f64 = 1.0, range above(0.0);
    }
}

impl Balance for Mean {
    fn weigh(&self, pairs: &PairLosses, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let intra = self.split.intra(pairs, batch, self.sigma)?;
        let inter = inter(&intra);
        let (intra_size, inter_size) = (intra.sum(ALL), inter.sum(ALL));
        let of_an_intra_pair = self.lambda / intra_size.at_least(SMALL);
        let of_an_inter_pair = (1.0 - self.lambda) / inter_size.at_least(SMALL);
        let of_an_image = Tensor::eye(batch.size()) / pairs.divisor();
        let weights = intra * of_an_intra_pair + inter * of_an_inter_pair + of_an_image;
        let weight = inter_size * self.lambda / (intra_size * (1.0 - self.lambda)).at_least(SMALL);
        report::metric("weight", &weight);
        Ok((pairs.values() * weights).sum(ALL))
    }
}
