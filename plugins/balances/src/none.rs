//! `sum_ij l_ij / divisor`, as without a balance.

use lossmith_sdk::prelude::*;

strategy! {
    /// No balance: all pairs weigh the same.
    pub struct Unbalanced as "none" {}
}

impl Balance for Unbalanced {
    fn weigh(&self, pairs: &PairLosses, _: &Batch, _: &Progress) -> Result<Tensor> {
        report::metric("weight", 1.0);
        Ok(pairs.values().sum(ALL) / pairs.divisor())
    }
}
