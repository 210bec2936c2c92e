//! One triplet for each anchor that has a positive and a negative.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::positions;

strategy! {
    /// Batch-hard: farthest positive and nearest negative of each anchor, Hermans, Beyer and Leibe 2017, eq. 5.
    pub struct BatchHard as "batch-hard" {
        /// How embeddings are compared.
        distance: Distance = Distance::Euclidean;
    }
}

impl Miner for BatchHard {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let farness = self.distance.farness(&batch.embeddings());
        let labels = batch.labels();
        let (same, different) = (same_class(&labels), different_class(&labels));
        let positives = farness.masked_fill(&same.logical_not(), f64::NEG_INFINITY).argmax(1);
        let negatives = farness.masked_fill(&different.logical_not(), f64::INFINITY).argmin(1);
        let (anchors, _) = positions(&same.any(1).logical_and(&different.any(1)));
        Ok(Tuples::triplets(&anchors, &positives.index_select(0, &anchors), &negatives.index_select(0, &anchors)))
    }
}
