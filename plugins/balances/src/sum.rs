//! `(alpha sum_I l_ij + sum_E l_ij) / divisor`. An alpha of 1 is the unbalanced loss to the last bit. Our reading of
//! BET.

use lossmith_sdk::prelude::*;

use crate::split::{Split, weighted};

strategy! {
    /// The intra half weighs alpha, the inter half 1; our reading of BET, Yu 2024.
    pub struct Sum as "sum" {
        /// Weight of the intra half.
        alpha: f64 = 1.0, range 0.0..;
        /// What splits the pairs into halves.
        split: Split = Split::Label;
        /// Width of the teacher's relation, for `split = "teacher"`.
        sigma: f64 = 1.0, range above(0.0);
    }
}

impl Balance for Sum {
    fn weigh(&self, pairs: &PairLosses, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let intra = self.split.intra(pairs, batch, self.sigma)?;
        report::metric("weight", self.alpha);
        Ok(weighted(pairs, &(intra * (self.alpha - 1.0))))
    }
}
