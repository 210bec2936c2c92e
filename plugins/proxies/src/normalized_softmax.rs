//! Cross entropy of `s / temperature`, where `s` are the cosines between an image and the columns of `W`.
//!
//! The parameter `W` is D x C, one column for each class. With a miner, an image weighs as often as it is in the
//! tuples, divided by the count of the image that is in most of them; the reducer sees these products.

use lossmith_sdk::prelude::*;

use crate::images;

strategy! {
    /// Normalised softmax loss, Wang et al. 2017 and Zhai and Wu 2019.
    pub struct NormalizedSoftmax as "normalized-softmax" {
        /// What cosines are divided by; lower is sharper.
        temperature: f64 = 0.05, range above(0.0);
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the columns of `W`.
        regularizer: Regularizer = Regularizer::none();
        /// `W` learns with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for NormalizedSoftmax {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let weights = state::parameter("W", self.learning_rate_multiplier, || {
            random::normal(&[batch.dimension(), batch.class_count()])
        });
        let columns = weights.transpose(0, 1);
        let logits = batch.embeddings().cosine_matrix(&columns) / self.temperature;
        let losses = images::cross_entropies(&logits, &batch.labels());
        self.regularizer.add(images::reduce(&self.reducer, &losses, batch)?, &columns, 1)
    }
}
