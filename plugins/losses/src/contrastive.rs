//! `sum [d_ap - positive_margin]_+ + sum [negative_margin - d_an]_+`, each sum reduced over its pairs.

use lossmith_sdk::prelude::*;

strategy! {
    /// Contrastive loss, Hadsell, Chopra and LeCun 2006, eq. 4, with hinges that are not squared.
    pub struct Contrastive as "contrastive" {
        /// Distance below which a positive pair costs nothing; with cosines, the cosine above which it does.
        positive_margin: f64 = 0.0;
        /// Distance above which a negative pair costs nothing; with cosines, the cosine below which it does.
        negative_margin: f64 = 1.0;
        /// How embeddings are compared. Cosines want other margins, for instance 1 and 0.
        distance: Distance = Distance::euclidean();
        /// How the losses of the positive pairs and of the negative pairs become one number each.
        reducer: Reducer = Reducer::average_non_zero();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for Contrastive {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        self.memory.add(batch, progress, |pairs| {
            let matrix = self.distance.between(&pairs.anchors, pairs.references());
            let pull = self.distance.beyond(self.positive_margin);
            let push = self.distance.within(self.negative_margin);
            let of_positives = self.reducer.reduce_hinges(&matrix, pull, &pairs.positive, batch)?;
            Ok(of_positives + self.reducer.reduce_hinges(&matrix, push, &pairs.negative, batch)?)
        })
    }
}
