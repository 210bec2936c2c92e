//! `(pull sum pull_ij + push sum push_ij) / divisor` for a relaxed loss `l_ij = pull_ij + push_ij`. With 1 and 1 it is
//! the unbalanced loss to the last bit. Our reading of BET.
//!
//! This is not the split by class: similar images of two classes are pulled too, and with them most of the pulling
//! weight is on pairs of two classes. The mean distance by which a relaxed loss divides takes out the uniform part of
//! that pull.

use lossmith_sdk::prelude::*;

strategy! {
    /// The two terms of a relaxed loss weigh `pull` and `push`; our reading of BET, Yu 2024.
    pub struct PullPush as "pull-push" {
        /// Weight of the term that makes distances small.
        pull: f64 = 1.0, range 0.0..;
        /// Weight of the term that makes distances large.
        push: f64 = 1.0, range 0.0..;
    }
}

impl Balance for PullPush {
    fn weigh(&self, pairs: &PairLosses, _: &Batch, _: &Progress) -> Result<Tensor> {
        let (Some(pull), Some(push)) = (pairs.part("pull"), pairs.part("push")) else {
            return Err("`pull-push` weighs the parts `pull` and `push`, which this transfer does not have: take \
                        `relaxed-contrastive`, `relaxed-multi-similarity` or `contextual-contrastive`, or another \
                        balance"
                .into());
        };
        report::metric("pull", self.pull);
        report::metric("push", self.push);
        let values = pairs.values() + pull * (self.pull - 1.0) + push * (self.push - 1.0);
        Ok(values.sum(ALL) / pairs.divisor())
    }
}
