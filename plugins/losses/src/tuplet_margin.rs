//! With angles `theta`, `s = scale` and `m = degrees`, the mean over positive pairs of
//! `log(1 + sum_n exp(s (cos theta_an - cos(theta_ap - m))))`.
//!
//! `cos(theta - m)` is `cos theta cos m + sin theta sin m`; at an angle of 0 the gradient of the sine is taken as 0.
//! The negatives of an anchor are summed once, so that memory is B x B however many pairs there are. A pair that a
//! miner found twice counts twice. Both defaults are the paper's (0.1 radians).

use lossmith_sdk::prelude::*;

strategy! {
    /// Tuplet margin loss, Yu and Tao 2019.
    pub struct TupletMargin as "tuplet-margin" {
        /// What is taken off the angles of positive pairs, in degrees.
        degrees: f64 = 5.73, range 0.0..=180.0;
        /// Sharpness.
        scale: f64 = 64.0, range above(0.0);
        /// How the losses of the positive pairs become one number.
        reducer: Reducer = Reducer::mean();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for TupletMargin {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        self.memory.add(batch, progress, |pairs| {
            let cosines = pairs.anchors.cosine_matrix(pairs.references());
            let sines = ((1.0 - &cosines) * (&cosines + 1.0)).safe_sqrt();
            let weighted = &cosines * self.scale + pairs.negative.at_least(1.0).log();
            let negatives = weighted.logsumexp_where(&pairs.negative.gt(0.0), keep(1));
            let losses = (negatives - (cosines * (cosine * self.scale) + sines * (sine * self.scale))).log1p_exp();
            self.reducer.reduce(&losses, &pairs.positive, batch)
        })
    }
}
