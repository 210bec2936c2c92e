//! With `d_ij = var(x_i - x_j) / var(x_i)` over the dimensions, where `x_i` is the anchor,
//! `sum [d_ap - positive_margin]_+ + sum [negative_margin - d_an]_+ + mean_weight * mean_i |sum_k x_ik|`, the first two
//! sums reduced over their pairs.
//!
//! The first two terms are `contrastive` with the distance `snr`. The last one is the paper's regulariser, of the
//! embeddings as the network gives them: variances do not see the mean of an embedding, which could drift. The defaults
//! are the reference's, which leaves the regulariser out.

use lossmith_sdk::Formula;
use lossmith_sdk::prelude::*;

strategy! {
    /// Contrastive loss on signal-to-noise ratios, Yuan et al. 2019.
    pub struct SnrContrastive as "snr-contrastive" {
        /// Distance below which a positive pair costs nothing.
        positive_margin: f64 = 0.0;
        /// Distance above which a negative pair costs nothing.
        negative_margin: f64 = 1.0;
        /// Weight of the regulariser, which pulls the mean of each embedding to 0.
        mean_weight: f64 = 0.0, range 0.0..;
        /// Whether embeddings are divided by their norm before they are compared.
        normalize: bool = true;
        /// How the losses of the positive pairs and of the negative pairs become one number each.
        reducer: Reducer = Reducer::average_non_zero();
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

impl Loss for SnrContrastive {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let distance = Distance { normalize: self.normalize, ..Distance::new(Formula::Snr) };
        let loss = self.memory.add(batch, progress, |pairs| {
            let matrix = distance.between(&pairs.anchors, pairs.references());
            let (pull, push) = (Hinge::Above(self.positive_margin), Hinge::Below(self.negative_margin));
            let of_positives = self.reducer.reduce_hinges(&matrix, pull, &pairs.positive, batch)?;
            Ok(of_positives + self.reducer.reduce_hinges(&matrix, push, &pairs.negative, batch)?)
        })?;
        if self.mean_weight == 0.0 {
            return Ok(loss);
        }
        Ok(loss + batch.embeddings().sum(1).abs().mean(ALL) * self.mean_weight)
    }
}
