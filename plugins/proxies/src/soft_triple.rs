//! Cross entropy of `lambda (S_c - margin [c is the image's class])`, where `S_c = sum_k q_k s_k` over the cosines `s`
//! between the image and the K centers of class c, with `q = softmax_k(s_k / gamma)`.
//!
//! Two centers are the choice of Roth et al. 2020 (the paper has 10); the other defaults are the paper's. Its penalty
//! that merges centers is `regularizer = "sparse-centers"`, with the weight 0.2.
//!
//! The parameter `fc` is D x (C K), with column `c K + k` for center k of class c, at first uniform between -1 / sqrt(C
//! K) and 1 / sqrt(C K). With a miner, an image weighs as often as it is in the tuples, divided by the count of the
//! image that is in most of them.

use lossmith_sdk::prelude::*;

use crate::{centers, images};

strategy! {
    /// SoftTriple loss, Qian et al. 2019.
    pub struct SoftTriple as "soft-triple" {
        /// Centers of each class.
        centers: i64 = 2, range 1..=1000;
        /// What similarities to the classes are multiplied by.
        lambda: f64 = 20.0, range above(0.0);
        /// What cosines are divided by where the centers of a class are weighed; lower prefers the nearest one.
        gamma: f64 = 0.1, range above(0.0);
        /// Taken from the similarity to the own class.
        margin: f64 = 0.01;
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the centers.
        regularizer: Regularizer = Regularizer::none();
        /// The centers learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for SoftTriple {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let weights = centers::parameter("fc", self.learning_rate_multiplier, batch, self.centers, |shape| {
            (random::uniform(shape) * 2.0 - 1.0) / (shape[1] as f64).sqrt()
        })?;
        let cosines = centers::cosines(batch, &weights, self.centers);
        let similarities = ((&cosines / self.gamma).softmax(2) * cosines).sum(2);
        let labels = batch.labels();
        let logits = images::with_own(&similarities, &labels, |own| own - self.margin) * self.lambda;
        let losses = images::cross_entropies(&logits, &labels);
        let loss = images::reduce(&self.reducer, &losses, batch)?;
        self.regularizer.add(loss, &weights.transpose(0, 1), self.centers)
    }
}
