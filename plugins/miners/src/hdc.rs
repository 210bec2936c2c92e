//! The hardest share of the positive pairs, the farthest, and of the negative pairs, the nearest, over the whole batch.
//!
//! The share is rounded up to a number of pairs; of equally hard pairs those come first whose anchor does. The default is that
//! of pytorch-metric-learning.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::positions;

strategy! {
    /// The hardest share of all pairs, Yuan, Yang and Zhang 2017 (hard-aware deeply cascaded embedding).
    pub struct Hdc as "hdc" {
        /// The share that is kept.
        fraction: f64 = 0.5, range 0.0..=1.0;
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
    }
}

impl Miner for Hdc {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let farness = self.distance.farness(&batch.embeddings());
        let labels = batch.labels();
        let (anchors, positives) = self.hardest(&farness, &same_class(&labels), true);
        let (negative_anchors, negatives) = self.hardest(&farness, &different_class(&labels), false);
        Ok(Tuples::pairs(&anchors, &positives, &negative_anchors, &negatives))
    }
}

impl Hdc {
    /// The farthest (or nearest) share of the pairs where `mask` is true.
    fn hardest(&self, farness: &Tensor, mask: &Tensor, farthest: bool) -> (Tensor, Tensor) {
        let (rows, columns) = positions(mask);
        let count = (self.fraction * rows.size(0) as f64).ceil() as i64;
        let (_, order) = farness.at(&rows, &columns).sort(0, farthest);
        let (kept, _) = order.narrow(0, 0, count).sort(0, false);
        (rows.index_select(0, &kept), columns.index_select(0, &kept))
    }
}
