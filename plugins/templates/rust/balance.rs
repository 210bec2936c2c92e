//! A balance: the pair losses of a transfer in, a weighted scalar out.
//!
//! `pairs.values()` is the loss of each ordered pair, B x B; the unbalanced loss is their sum divided by
//! `pairs.divisor()`. `pairs.same_class()` and `pairs.different_class()` are masks without the diagonal. The result is
//! a float scalar with a gradient.

use lossmith_sdk::prelude::*;

export! { balances: [{{struct}}] }

strategy! {
    /// Pairs of one class weigh alpha, all others 1.
    pub struct {{struct}} as "{{name}}" {
        // Each parameter has a default, one line for users, and a range that the host checks.
        /// Weight of the pairs of one class.
        alpha: f64 = 1.0, range 0.0..;
    }
}

impl Balance for {{struct}} {
    fn weigh(&self, pairs: &PairLosses, _batch: &Batch, _progress: &Progress) -> Result<Tensor> {
        let weights = pairs.same_class().to_float() * (self.alpha - 1.0) + 1.0;
        // Metrics are kept in the record of the run.
        report::metric("weight", self.alpha);
        Ok((pairs.values() * weights).sum(ALL) / pairs.divisor())
    }
}
