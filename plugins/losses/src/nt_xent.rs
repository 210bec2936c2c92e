//! With cosines `s`, the mean over positive pairs of
//! `-log(exp(s_ap / t) / (exp(s_ap / t) + sum_n exp(s_an / t)))`: other positives are not in the denominator.
//!
//! With distances `d`, `-d` is in the place of `s`. For each anchor its negatives are summed once, so memory is B x B
//! however many pairs there are. A pair that a miner found twice counts twice.

use lossmith_sdk::prelude::*;

strategy! {
    /// NT-Xent (InfoNCE), Sohn 2016 and van den Oord, Li and Vinyals 2018, eq. 4.
    pub struct NtXent as "nt-xent" {
        /// What cosines are divided by, or distances; lower is sharper.
        temperature: f64 = 0.07, range above(0.0);
        /// How embeddings are compared.
        distance: Distance = Distance::cosine();
        /// How the losses of the positive pairs become one number.
        reducer: Reducer = Reducer::mean();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for NtXent {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let temperature = if self.distance.is_similarity() { self.temperature } else { -self.temperature };
        self.memory.add(batch, progress, |pairs| {
            let logits = self.distance.between(&pairs.anchors, pairs.references()) / temperature;
            // A negative pair that was mined twice stands twice in the sum: exp(logit + log 2).
            let weighted = &logits + pairs.negative.at_least(1.0).log();
            let negatives = weighted.logsumexp_where(&pairs.negative.gt(0.0), keep(1));
            let losses = (negatives - logits).log1p_exp();
            self.reducer.reduce(&losses, &pairs.positive, batch)
        })
    }
}
