//! `-log(exp(-scale d(x, p_y)) / sum_z exp(-scale d(x, p_z)))` for each image x of class y, with its distance d to each
//! proxy; the sum is over all classes z, or with `exclude-positive` over all but y.
//!
//! The paper excludes y and squares distances of vectors of length 3, which is `exclude-positive = true` and
//! `scale = 9`. The defaults are those of pytorch-metric-learning but for the scale, which is 1 there.
//!
//! The parameter `proxies` is C x D, one row for each class, at first normal. With a miner, an image weighs as often as
//! it is an anchor in the tuples, divided by the count of the image that is one in most of them.

use lossmith_sdk::Formula;
use lossmith_sdk::prelude::*;

use crate::images;

strategy! {
    /// Proxy-NCA, Movshovitz-Attias et al. 2017.
    pub struct ProxyNca as "proxy-nca" {
        /// What distances are multiplied by; higher is sharper.
        scale: f64 = 3.0, range above(0.0);
        /// Whether the proxy of the image's own class is left out of the denominator.
        exclude_positive: bool = false;
        /// How embeddings and proxies are compared.
        distance: Distance = Distance::new(Formula::SquaredEuclidean);
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the proxies.
        regularizer: Regularizer = Regularizer::none();
        /// The proxies learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for ProxyNca {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (classes, labels) = (batch.class_count(), batch.labels());
        let proxies = state::parameter("proxies", self.learning_rate_multiplier, || {
            random::normal(&[classes, batch.dimension()])
        });
        let farness = self.distance.signed(self.distance.between(&batch.embeddings(), &proxies));
        let logits = farness * -self.scale;
        let losses = if self.exclude_positive {
            let places = labels.unsqueeze(1);
            let others = places.ne(&Tensor::arange(0, classes));
            let own = logits.gather(1, &places).squeeze(1);
            // Of one class there is no other one.
            (logits.logsumexp_where(&others, 1) - own) * others.any(1)
        } else {
            images::cross_entropies(&logits, &labels)
        };
        self.regularizer.add(images::reduce_anchors(&self.reducer, &losses, batch)?, &proxies, 1)
    }
}
