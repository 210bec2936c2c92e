//! Cross entropy of `scale c_z`, where `c_z` are the cosines between the image and the columns of `W`, but for that of
//! the own class with the angle t: it is `cos(t + m)`, m being the margin, and `cos t - m sin m` where `t + m` is above
//! 180 degrees.
//!
//! Defaults are the paper's (0.5 radians are 28.6 degrees). The parameter `W` is D x C, one column for each class, at
//! first normal. With a miner, an image weighs as often as it is in the tuples, divided by the count of the image that
//! is in most of them.

use lossmith_sdk::prelude::*;

use crate::images;

strategy! {
    /// ArcFace, Deng et al. 2019: an additive angular margin.
    pub struct ArcFace as "arc-face" {
        /// Added to the angle to the own class, in degrees.
        margin_degrees: f64 = 28.6, range 0.0..=180.0;
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

impl Loss for ArcFace {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let weights = state::parameter("W", self.learning_rate_multiplier, || {
            random::normal(&[batch.dimension(), batch.class_count()])
        });
        let columns = weights.transpose(0, 1);
        let cosines = batch.embeddings().cosine_matrix(&columns);
        let losses = cross_entropies(&cosines, &batch.labels(), self.margin_degrees, self.scale);
        self.regularizer.add(images::reduce(&self.reducer, &losses, batch)?, &columns, 1)
    }
}

/// The losses of the images, B, given their cosines to the classes, B x C.
pub(crate) fn cross_entropies(cosines: &Tensor, labels: &Tensor, margin_degrees: f64, scale: f64) -> Tensor {
    let margin = margin_degrees.to_radians();
    let changed = images::with_own(cosines, labels, |own| {
        // The sine has no finite slope at -1 and 1; there it is 0.
        let sine = ((1.0 - own) * (own + 1.0)).safe_sqrt();
        let turned = own * margin.cos() - sine * margin.sin();
        own.ge(-margin.cos()).where_(&turned, &(own - margin * margin.sin()))
    });
    images::cross_entropies(&(changed * scale), labels)
}
