//! `-log(exp(-d(x, p_y) / T) / sum_z exp(-d(x, p_z) / T))` for each image x of class y, where d is the squared
//! Euclidean distance of unit vectors, T the temperature and the sum is over all classes.
//!
//! This is `proxy-nca` with the scale 1/T. The rest of the paper is not in the loss: max pooling and a layer
//! normalisation in the network, few classes in a batch and fast proxies. T = 1/9 is the paper's. So is the idea of a
//! high multiplier, but not its value, which goes with another optimizer there.
//!
//! The parameter `proxies` is C x D, one row for each class, at first normal. With a miner, an image weighs as often as
//! it is an anchor in the tuples, divided by the count of the image that is one in most of them.

use lossmith_sdk::prelude::*;

use crate::images;

strategy! {
    /// Proxy-NCA++, Teh, DeVries and Taylor 2020.
    pub struct ProxyNcaPlusPlus as "proxy-nca-plus-plus" {
        /// What squared distances are divided by; lower is sharper.
        temperature: f64 = 1.0 / 9.0, range above(0.0);
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the proxies.
        regularizer: Regularizer = Regularizer::none();
        /// The proxies learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 100.0, range 0.0..;
    }
}

impl Loss for ProxyNcaPlusPlus {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let proxies = state::parameter("proxies", self.learning_rate_multiplier, || {
            random::normal(&[batch.class_count(), batch.dimension()])
        });
        // -d is 2 cos - 2, and the softmax does not see what all logits share.
        let logits = batch.embeddings().cosine_matrix(&proxies) * (2.0 / self.temperature);
        let losses = images::cross_entropies(&logits, &batch.labels());
        self.regularizer.add(images::reduce_anchors(&self.reducer, &losses, batch)?, &proxies, 1)
    }
}
