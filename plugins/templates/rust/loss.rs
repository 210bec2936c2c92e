//! A loss: embeddings and labels in, a scalar out.
//!
//! `batch.embeddings()` is B x D, as the network gives it (not normalised); `batch.labels()` are the B classes. The
//! result is a float scalar (one number) through which a gradient flows into the embeddings. `wit/context.wit` lists
//! what else a batch tells.

use lossmith_sdk::prelude::*;

export! { losses: [{{struct}}] }

strategy! {
    /// Contrastive loss, Hadsell, Chopra and LeCun 2006, with hinges that are not squared.
    pub struct {{struct}} as "{{name}}" {
        // Each parameter has a default, one line for users, and a range that the host checks.
        /// Distance below which a positive pair costs nothing.
        positive_margin: f64 = 0.0, range 0.0..=2.0;
        /// Distance above which a negative pair costs nothing.
        negative_margin: f64 = 1.0, range 0.0..=2.0;
    }
}

impl Loss for {{struct}} {
    fn loss(&self, batch: &Batch, _progress: &Progress) -> Result<Tensor> {
        let x = batch.embeddings().normalize(2.0, 1);
        let distances = x.distance_matrix(&x);
        // What the objective's miner found; without a miner all pairs.
        let pairs = PairWeights::of(batch);
        let pull = (&distances - self.positive_margin).relu();
        let push = (self.negative_margin - distances).relu();
        let mean = Reducer::mean();
        Ok(mean.reduce(&pull, &pairs.positive, batch)? + mean.reduce(&push, &pairs.negative, batch)?)
    }
}
