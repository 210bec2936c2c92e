//! With cosines `s`, the mean over positive pairs of
//! `-log(exp(s_ap / t) / (exp(s_ap / t) + sum_n exp(s_an / t)))`: other positives are not in the denominator.
//!
//! For each anchor its negatives are summed once, so memory is B x B however many pairs there are.

use lossmith_sdk::prelude::*;

strategy! {
    /// NT-Xent (InfoNCE), Sohn 2016 and van den Oord, Li and Vinyals 2018, eq. 4.
    pub struct NtXent as "nt-xent" {
        /// What cosines are divided by; lower is sharper.
        temperature: f64 = 0.07, range above(0.0);
    }
}

impl Loss for NtXent {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let pairs = PairWeights::of(batch);
        let logits = embeddings.cosine_matrix(&embeddings) / self.temperature;
        // A negative pair that was mined twice stands twice in the sum: exp(logit + log 2).
        let weighted = &logits + pairs.negative.log();
        let negatives = weighted.logsumexp_where(&pairs.negative.gt(0.0), keep(1));
        let losses = (negatives - logits).log1p_exp();
        Ok(Reducer::Mean.reduce_weighted(&losses, &pairs.positive))
    }
}
