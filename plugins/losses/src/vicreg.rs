//! With the embeddings `x` (B x D) as the network gives them,
//! `invariance * mean_ap |x_a - x_p|^2 / D + variance * mean_k [1 - sqrt(var_k + epsilon)]_+
//!  + covariance * 2 / D sum_(k != l) cov_kl^2`.
//!
//! The published loss compares two views of each image and has no labels. Here a positive pair stands for two views,
//! and both batches of views are this batch: the published variance term is the mean over the two, the covariance term
//! their sum, hence the 2. Variance and covariance are over the images, with the divisor B - 1. A miner chooses the
//! positive pairs of the first term; with one it takes memory for B x B numbers, and in any case for D x D ones. All
//! defaults are the paper's.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Formula, off_diagonal};

strategy! {
    /// VICReg, Bardes, Ponce and LeCun 2022, with the positive pairs of a labelled batch as views.
    pub struct Vicreg as "vicreg" {
        /// Weight of the distances of positive pairs.
        invariance: f64 = 25.0, range 0.0..;
        /// Weight of the hinges that keep the deviation of each dimension above 1.
        variance: f64 = 25.0, range 0.0..;
        /// Weight of the covariances of different dimensions.
        covariance: f64 = 1.0, range 0.0..;
        /// Added to variances before the square root.
        epsilon: f64 = 1e-4, range above(0.0);
    }
}

impl Loss for Vicreg {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let dimension = batch.dimension();
        let invariance = match batch.tuples() {
            None => mean_within_classes(&embeddings, batch),
            Some(tuples) => {
                let distance = Distance { normalize: false, ..Distance::new(Formula::SquaredEuclidean) };
                let positive = PairWeights::mined(&tuples, batch.size()).positive;
                Reducer::mean().reduce(&distance.matrix(&embeddings), &positive, batch)?
            }
        } / dimension as f64;
        let centred = &embeddings - embeddings.mean(keep(0));
        let covariances = centred.transpose(0, 1).matmul(&centred) / (batch.size() - 1).max(1) as f64;
        let variance = (1.0 - (covariances.diagonal() + self.epsilon).sqrt()).relu().mean(ALL);
        let covariance = (covariances * off_diagonal(dimension)).square().sum(ALL) * (2.0 / dimension as f64);
        Ok(invariance * self.invariance + variance * self.variance + covariance * self.covariance)
    }
}

/// The mean squared distance of two images of one class. Those of a class with N images sum to 2 N times the squared
/// distances to their mean.
fn mean_within_classes(embeddings: &Tensor, batch: &Batch) -> Tensor {
    let (labels, classes) = (batch.labels(), batch.class_count());
    let counts = labels.bincount(classes).to_float();
    let sums = Tensor::zeros(&[classes, batch.dimension()], Dtype::Float).index_add(0, &labels, embeddings);
    let means = sums / counts.at_least(1.0).unsqueeze(1);
    let squares = (embeddings - means.index_select(0, &labels)).square().sum(1);
    let total = (squares * counts.index_select(0, &labels)).sum(ALL) * 2.0;
    total / (&counts * (&counts - 1.0)).sum(ALL).at_least(1.0)
}
