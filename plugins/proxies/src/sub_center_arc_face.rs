//! As `arc-face`, where the cosine between an image and a class is the largest one of the class's K centers.
//!
//! Three centers are the paper's choice, the other defaults those of `arc-face`. The parameter `W` is D x (C K), with
//! column `c K + k` for center k of class c, at first normal. With a miner, an image weighs as often as it is in the
//! tuples, divided by the count of the image that is in most of them.

use lossmith_sdk::prelude::*;

use crate::{arc_face, centers, images};

strategy! {
    /// Sub-center ArcFace, Deng et al. 2020.
    pub struct SubCenterArcFace as "sub-center-arc-face" {
        /// Centers of each class.
        centers: i64 = 3, range 1..=1000;
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

impl Loss for SubCenterArcFace {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let weights = centers::parameter("W", self.learning_rate_multiplier, batch, self.centers, random::normal)?;
        let (dimension, classes) = (batch.dimension(), batch.class_count());
        // One block of classes for each center: the largest of three neighbours takes longer to find than that of three
        // blocks.
        let blocks = weights.reshape(&[dimension, classes, self.centers]).permute(&[2, 1, 0]);
        let cosines = batch.embeddings().cosine_matrix(&blocks.reshape(&[-1, dimension]));
        let cosines = cosines.reshape(&[batch.size(), self.centers, classes]).amax(1);
        let losses = arc_face::cross_entropies(&cosines, &batch.labels(), self.margin_degrees, self.scale);
        let loss = images::reduce(&self.reducer, &losses, batch)?;
        self.regularizer.add(loss, &weights.transpose(0, 1), self.centers)
    }
}
