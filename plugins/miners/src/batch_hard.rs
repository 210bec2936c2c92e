//! One triplet for each anchor that has a positive and a negative.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Triplets, different_class, same_class};

strategy! {
    /// Batch-hard: farthest positive and nearest negative of each anchor, Hermans, Beyer and Leibe 2017, eq. 5.
    pub struct BatchHard as "batch-hard" {
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
    }
}

impl Miner for BatchHard {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let farness = self.distance.farness(&batch.embeddings());
        let labels = batch.labels();
        let Triplets { anchors, positives, negatives } =
            Triplets::batch_hard(&farness, &same_class(&labels), &different_class(&labels));
        Ok(Tuples::triplets(&anchors, &positives, &negatives))
    }
}
