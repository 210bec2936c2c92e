//! `|x - c_y|^2 / 2` for each image x of class y, with the center `c_y` of its class.
//!
//! It only pulls: alone it is least where everything is one point, so it goes beside another objective (`cross-entropy`
//! in the paper, weighed 1 to 0.003). Centers learn by the gradient; in the paper they follow the mean of their images
//! in the batch by a rule of their own, at a rate of 0.5. The multiplier of 100 is our choice: that gradient is small,
//! since the mean is over the whole batch.
//!
//! The parameter `centers` is C x D, one row for each class, at first normal with the variance 1 / D. With a miner, an
//! image weighs as often as it is in the tuples, divided by the count of the image that is in most of them.

use lossmith_sdk::prelude::*;

use crate::images;

strategy! {
    /// Center loss, Wen et al. 2016.
    pub struct Center as "center" {
        /// Whether embeddings are normalised first; centers are not.
        normalize: bool = false;
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the centers.
        regularizer: Regularizer = Regularizer::none();
        /// The centers learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 100.0, range 0.0..;
    }
}

impl Loss for Center {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let dimension = batch.dimension();
        let centers = state::parameter("centers", self.learning_rate_multiplier, || {
            random::normal(&[batch.class_count(), dimension]) / (dimension as f64).sqrt()
        });
        let embeddings = batch.embeddings();
        let embeddings = if self.normalize { embeddings.normalize(2.0, 1) } else { embeddings };
        let losses = (embeddings - centers.index_select(0, &batch.labels())).square().sum(1) / 2.0;
        self.regularizer.add(images::reduce(&self.reducer, &losses, batch)?, &centers, 1)
    }
}
