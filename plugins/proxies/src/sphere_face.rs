//! Cross entropy of `scale |x| cos t_z`, where `t_z` are the angles between the embedding x and the columns of `W`, but
//! for that of the own class, t: there `cos t` becomes `(-1)^k cos(m t) - 2k` with `k = floor(m t / pi)`, which falls
//! all the way from 1 to 1 - 2m.
//!
//! `cos(m t)` is made from `cos t` by `cos((n + 1) t) = 2 cos t cos(n t) - cos((n - 1) t)`. Defaults are the paper's.
//! The embeddings keep their lengths. The parameter `W` is D x C, one column for each class, at first normal. With a
//! miner, an image weighs as often as it is in the tuples, divided by the count of the image that is in most of them.

use std::f64::consts::PI;

use lossmith_sdk::prelude::*;

use crate::images;

strategy! {
    /// SphereFace, Liu et al. 2017: a multiplicative angular margin.
    pub struct SphereFace as "sphere-face" {
        /// What the angle to the own class is multiplied by, m.
        margin: i64 = 4, range 1..=100;
        /// What logits are multiplied by.
        scale: f64 = 1.0, range above(0.0);
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the columns of `W`.
        regularizer: Regularizer = Regularizer::none();
        /// `W` learns with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for SphereFace {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let weights = state::parameter("W", self.learning_rate_multiplier, || {
            random::normal(&[batch.dimension(), batch.class_count()])
        });
        let (columns, labels, embeddings) = (weights.transpose(0, 1), batch.labels(), batch.embeddings());
        let cosines = images::with_own(&embeddings.cosine_matrix(&columns), &labels, |own| self.multiplied(own));
        let logits = cosines * embeddings.norm(2.0, keep(1)) * self.scale;
        let losses = images::cross_entropies(&logits, &labels);
        self.regularizer.add(images::reduce(&self.reducer, &losses, batch)?, &columns, 1)
    }
}

impl SphereFace {
    /// What becomes of the cosines to the own class.
    fn multiplied(&self, cosines: &Tensor) -> Tensor {
        let (mut before, mut now) = (cosines.ones_like(), cosines * 1.0);
        for _ in 1..self.margin {
            let next = cosines * 2.0 * &now - before;
            (before, now) = (now, next);
        }
        let turns = (cosines.detach().clamp(-1.0, 1.0).acos() * (self.margin as f64 / PI)).floor();
        let sign = 1.0 - (&turns - (&turns / 2.0).floor() * 2.0) * 2.0;
        sign * now - turns * 2.0
    }
}
