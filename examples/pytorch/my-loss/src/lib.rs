//! A loss to edit while it is trained with.
use lossmith_sdk::prelude::*;

export! { losses: [MyLoss] }

strategy! {
    /// Contrastive loss on normalised embeddings: pairs of one class are pulled together, others pushed apart.
    pub struct MyLoss as "my-loss" {
        /// Distance above which a pair of two classes costs nothing.
        margin: f64 = 0.5, range 0.0..=2.0;
    }
}

impl Loss for MyLoss {
    fn loss(&self, batch: &Batch, _progress: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings().normalize(2.0, 1);
        let distances = embeddings.distance_matrix(&embeddings);
        // What the miner found.
        let pairs = PairWeights::of(batch);
        let pull = distances.relu();
        let push = (self.margin - distances).relu();
        let mean = Reducer::mean();
        Ok(mean.reduce(&pull, &pairs.positive, batch)? + mean.reduce(&push, &pairs.negative, batch)?)
    }
}
