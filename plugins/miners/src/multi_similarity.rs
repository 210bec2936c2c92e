//! With cosines `s`: positive pairs with `s - epsilon` below the anchor's largest negative cosine, and negative pairs
//! with `s + epsilon` above its smallest positive cosine.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::pairs;

strategy! {
    /// The pair mining of multi-similarity, Wang et al. 2019.
    pub struct MultiSimilarity as "multi-similarity" {
        /// How much easier than the hardest pair of the other kind a pair may be.
        epsilon: f64 = 0.1, range 0.0..=2.0;
    }
}

impl Miner for MultiSimilarity {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let embeddings = batch.embeddings();
        let cosines = embeddings.cosine_matrix(&embeddings);
        let labels = batch.labels();
        let (same, different) = (same_class(&labels), different_class(&labels));
        let hardest_positive = cosines.masked_fill(&same.logical_not(), f64::INFINITY).amin(keep(1));
        let hardest_negative = cosines.masked_fill(&different.logical_not(), f64::NEG_INFINITY).amax(keep(1));
        let positive = (&cosines - self.epsilon).lt(&hardest_negative).logical_and(&same);
        let negative = (cosines + self.epsilon).gt(&hardest_positive).logical_and(&different);
        Ok(pairs(&positive, &negative))
    }
}
