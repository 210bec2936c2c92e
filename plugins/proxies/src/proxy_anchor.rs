//! With cosines `s` between images and proxies, `P+` the proxies of classes that are in the batch and `P` all of them:
//! `1/|P+| sum_{p in P+} log(1 + sum_{x of p} exp(-alpha (s_xp - margin)))
//!  + 1/|P| sum_{p in P} log(1 + sum_{x not of p} exp(alpha (s_xp + margin)))`.
//!
//! The parameter `proxies` is C x D, one row for each class. Mined tuples are not used.

use lossmith_sdk::prelude::*;

strategy! {
    /// Proxy-Anchor loss, Kim et al. 2020.
    pub struct ProxyAnchor as "proxy-anchor" {
        /// Added to the cosine of negatives and taken from that of positives.
        margin: f64 = 0.1, range -1.0..=1.0;
        /// Sharpness.
        alpha: f64 = 32.0, range above(0.0);
        /// A penalty on the proxies.
        regularizer: Regularizer = Regularizer::none();
        /// The proxies learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 100.0, range 0.0..;
    }
}

impl Loss for ProxyAnchor {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let classes = batch.class_count();
        // Normal with the variance 2 / C: He et al. 2015 with the fan-out of a C x D matrix.
        let proxies = state::parameter("proxies", self.learning_rate_multiplier, || {
            random::normal(&[classes, batch.dimension()]) * (2.0 / classes as f64).sqrt()
        });
        let cosines = batch.embeddings().cosine_matrix(&proxies);
        let own = batch.labels().unsqueeze(1).eq(&Tensor::arange(0, classes));
        let pull = ((self.margin - &cosines) * self.alpha).logsumexp_where(&own, 0).log1p_exp();
        let push = ((cosines + self.margin) * self.alpha).logsumexp_where(&own.logical_not(), 0).log1p_exp();
        let loss = pull.sum(ALL) / own.any(0).sum(ALL) + push.mean(ALL);
        self.regularizer.add(loss, &proxies, 1)
    }
}
