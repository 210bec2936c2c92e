//! Positive pairs that are too far and negative pairs that are too near.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::pairs;

strategy! {
    /// Pair margin: positive pairs farther than a margin, negative pairs nearer than another.
    pub struct PairMargin as "pair-margin" {
        /// Positive pairs farther than this are kept; with cosines, those below it.
        positive_margin: f64 = 0.2;
        /// Negative pairs nearer than this are kept; with cosines, those above it.
        negative_margin: f64 = 0.8;
        /// How embeddings are compared. Cosines want other margins.
        distance: Distance = Distance::euclidean();
    }
}

impl Miner for PairMargin {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let matrix = self.distance.matrix(&batch.embeddings());
        let labels = batch.labels();
        let (far, near) = match self.distance.is_similarity() {
            false => (matrix.gt(self.positive_margin), matrix.lt(self.negative_margin)),
            true => (matrix.lt(self.positive_margin), matrix.gt(self.negative_margin)),
        };
        Ok(pairs(&far.logical_and(&same_class(&labels)), &near.logical_and(&different_class(&labels))))
    }
}
