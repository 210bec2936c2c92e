//! With Euclidean distances `d` of normalised embeddings and the boundaries `alpha` and `b = alpha - margin`, for each
//! image `(1 - imbalance) sum_p w_p (d_ap - b) / sum_p w_p + imbalance sum_n w_n (alpha - d_an) / sum_n w_n`
//! over the positives with `d_ap > b` and the negatives with `d_an < alpha`, where
//! `w_p = exp(positive_temperature (d_ap - b))` and `w_n = exp(negative_temperature (alpha - d_an))`.
//!
//! As in the reference, each divisor has 1e-5 more for each image of the batch, and the gradient flows through the
//! weights. Mined tuples are not used. The reference has no default for `margin` and `negative-temperature`: 0.4 and 10
//! are usual; the other defaults are its own.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

strategy! {
    /// Ranked list loss, Wang et al. 2019.
    pub struct RankedList as "ranked-list" {
        /// How much nearer than alpha positives should be.
        margin: f64 = 0.4, range 0.0..;
        /// Distance that negatives should exceed; 0 for 1 + margin / 2.
        alpha: f64 = 0.0, range 0.0..;
        /// Weight of the negatives; that of the positives is the rest of 1.
        imbalance: f64 = 0.5, range 0.0..=1.0;
        /// How much more farther positives weigh.
        positive_temperature: f64 = 0.0, range 0.0..;
        /// How much more nearer negatives weigh.
        negative_temperature: f64 = 10.0, range 0.0..;
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for RankedList {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let distances = Distance::euclidean().matrix(&batch.embeddings());
        let alpha = if self.alpha > 0.0 { self.alpha } else { 1.0 + self.margin / 2.0 };
        let labels = batch.labels();
        let pull = violation(&distances - (alpha - self.margin), &same_class(&labels), self.positive_temperature);
        let push = violation(alpha - distances, &different_class(&labels), self.negative_temperature);
        let losses = pull * (1.0 - self.imbalance) + push * self.imbalance;
        self.reducer.reduce(&losses, &losses.ones_like(), batch)
    }
}

/// For each row the mean of the values above 0 in the mask, weighted by `exp(temperature * value)`.
fn violation(values: Tensor, mask: &Tensor, temperature: f64) -> Tensor {
    let counts = mask.logical_and(&values.gt(0.0));
    let logits = (&values * temperature).masked_fill(&counts.logical_not(), f64::NEG_INFINITY);
    // One more summand of the sum of weights, so that nothing overflows and no row is without any.
    let more = (1e-5 * mask.size(1) as f64).ln();
    let more = Tensor::full(&[mask.size(0), 1], more);
    let shares = Tensor::cat(&[&logits, &more], 1).softmax(1).narrow(1, 0, mask.size(1));
    (shares * values.relu()).sum(1)
}
