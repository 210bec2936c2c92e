//! With cosines `s` between images and proxies, `P+` the proxies of classes that are in the batch and `P` all of them:
//! `1/|P+| sum_{p in P+} log(1 + sum_{x of p} exp(-alpha (s_xp - margin)))
//!  + 1/|P| sum_{p in P} log(1 + sum_{x not of p} exp(alpha (s_xp + margin)))`.
//!
//! With distances `d` both signs turn round: `exp(alpha (d_xp - margin))` and `exp(-alpha (d_xp + margin))`. A margin
//! below 0 is then, but for the sign, what distances of negatives should exceed; one above 0 pushes only those almost
//! at the proxy.
//!
//! Both sums are over proxies, so that there are no losses of images or pairs for a reducer. The parameter `proxies` is
//! C x D, one row for each class. Mined tuples are not used.

use lossmith_sdk::prelude::*;

strategy! {
    /// Proxy-Anchor loss, Kim et al. 2020.
    pub struct ProxyAnchor as "proxy-anchor" {
        /// Added to the cosine of negatives and taken from that of positives. Distances of negatives should exceed
        /// -margin.
        margin: f64 = 0.1;
        /// Sharpness.
        alpha: f64 = 32.0, range above(0.0);
        /// How embeddings and proxies are compared. Distances want another margin, for instance -1.
        distance: Distance = Distance::cosine();
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
        let matrix = self.distance.between(&batch.embeddings(), &proxies);
        let own = batch.labels().unsqueeze(1).eq(&Tensor::arange(0, classes));
        let pull = self.distance.beyond(self.margin).excess(&matrix) * self.alpha;
        let pull = pull.logsumexp_where(&own, 0).log1p_exp();
        let push = self.distance.within(-self.margin).excess(&matrix) * self.alpha;
        let push = push.logsumexp_where(&own.logical_not(), 0).log1p_exp();
        let loss = pull.sum(ALL) / own.any(0).sum(ALL) + push.mean(ALL);
        self.regularizer.add(loss, &proxies, 1)
    }
}
