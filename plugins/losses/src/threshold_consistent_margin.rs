//! With cosines `s`,
//! `positive_weight * sum [positive_margin - s_ap]_+ + negative_weight * sum [s_an - negative_margin]_+`, each sum
//! reduced over its pairs: by default their mean over the pairs that are beyond the margin.
//!
//! It makes one threshold fit all classes and goes with another loss in the objectives. All defaults are the
//! reference's.

use lossmith_sdk::prelude::*;

strategy! {
    /// Threshold-consistent margin loss, Zhang et al. 2024.
    pub struct ThresholdConsistentMargin as "threshold-consistent-margin" {
        /// Cosine above which a positive pair costs nothing.
        positive_margin: f64 = 0.9, range -1.0..=1.0;
        /// Cosine below which a negative pair costs nothing.
        negative_margin: f64 = 0.5, range -1.0..=1.0;
        /// Weight of the positive pairs.
        positive_weight: f64 = 1.0, range 0.0..;
        /// Weight of the negative pairs.
        negative_weight: f64 = 1.0, range 0.0..;
        /// How the losses of the positive pairs and of the negative pairs become one number each.
        reducer: Reducer = Reducer::average_non_zero();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for ThresholdConsistentMargin {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        self.memory.add(batch, progress, |pairs| {
            let cosines = pairs.anchors.cosine_matrix(pairs.references());
            let (pull, push) = (Hinge::Below(self.positive_margin), Hinge::Above(self.negative_margin));
            let of_positives = self.reducer.reduce_hinges(&cosines, pull, &pairs.positive, batch)?;
            let of_negatives = self.reducer.reduce_hinges(&cosines, push, &pairs.negative, batch)?;
            Ok(of_positives * self.positive_weight + of_negatives * self.negative_weight)
        })
    }
}
