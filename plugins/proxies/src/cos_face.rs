//! Cross entropy of `scale (s_z - margin [z is the image's class])`, where `s_z` are the cosines between the image and
//! the columns of `W`.
//!
//! Defaults are the paper's. The parameter `W` is D x C, one column for each class, at first normal. With a miner, an
//! image weighs as often as it is in the tuples, divided by the count of the image that is in most of them.

use lossmith_sdk::prelude::*;

use crate::images;

strategy! {
    /// CosFace, Wang et al. 2018: an additive cosine margin.
    pub struct CosFace as "cos-face" {
        /// Taken from the cosine to the own class.
        margin: f64 = 0.35;
        /// What cosines are multiplied by.
        scale: f64 = 64.0, range above(0.0);
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the columns of `W`.
        regularizer: Regularizer = Regularizer::none();
        /// `W` learns with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for CosFace {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let weights = state::parameter("W", self.learning_rate_multiplier, || {
            random::normal(&[batch.dimension(), batch.class_count()])
        });
        let (columns, labels) = (weights.transpose(0, 1), batch.labels());
        let cosines = batch.embeddings().cosine_matrix(&columns);
        let logits = images::with_own(&cosines, &labels, |own| own - self.margin) * self.scale;
        let losses = images::cross_entropies(&logits, &labels);
        self.regularizer.add(images::reduce(&self.reducer, &losses, batch)?, &columns, 1)
    }
}
