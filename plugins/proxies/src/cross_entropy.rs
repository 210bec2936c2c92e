//! Cross entropy of a linear layer: the usual classifier, trained beside a metric loss.
//!
//! The logits of an embedding x are `W x + b`, with the parameters `W` (C x D, at first normal with the variance 1 / D)
//! and `b` (C, at first 0). With `on = "fused"` in the objective, x is the fused embedding. Mined tuples are not used:
//! all images weigh the same.

use lossmith_sdk::prelude::*;

strategy! {
    /// Cross entropy of a linear softmax classifier.
    pub struct CrossEntropy as "cross-entropy" {
        /// Whether embeddings are normalised first.
        normalize: bool = false;
        /// Share of the target that is spread over all classes (Szegedy et al. 2016).
        label_smoothing: f64 = 0.0, range 0.0..1.0;
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
        /// A penalty on the rows of `W`.
        regularizer: Regularizer = Regularizer::none();
        /// `W` and `b` learn with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for CrossEntropy {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (classes, dimension) = (batch.class_count(), batch.dimension());
        let weights = state::parameter("W", self.learning_rate_multiplier, || {
            random::normal(&[classes, dimension]) / (dimension as f64).sqrt()
        });
        let bias = state::parameter("b", self.learning_rate_multiplier, || Tensor::zeros(&[classes], Dtype::Float));
        let embeddings = batch.embeddings();
        let embeddings = if self.normalize { embeddings.normalize(2.0, 1) } else { embeddings };
        let labels = batch.labels();
        let logits = embeddings.matmul(&weights.transpose(0, 1)) + bias;
        report::metric("accuracy", &logits.argmax(1).eq(&labels).to_float().mean(ALL));
        let logarithms = logits.log_softmax(1);
        let right = logarithms.gather(1, &labels.unsqueeze(1)).squeeze(1);
        let losses = -(right * (1.0 - self.label_smoothing) + logarithms.mean(1) * self.label_smoothing);
        let loss = self.reducer.reduce(&losses, &losses.ones_like(), batch)?;
        self.regularizer.add(loss, &weights, 1)
    }
}
