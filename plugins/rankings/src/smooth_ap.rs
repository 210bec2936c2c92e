//! With cosines `s`, `sg` the logistic function and `P` the images of the class of `a` (with `a` itself, as in the
//! published code), for each image `a`
//! `1 - 1/|P| sum_(i in P) (1 + sum_(j in P, j != i) sg((s_aj - s_ai) / t)) /
//! (1 + sum_(j != i) sg((s_aj - s_ai) / t))`.
//!
//! One positive of each image at a time: O(B^2 P) time for P images in the largest class (B^3 for one class), and
//! O(B^2) memory, as each round adds its part of the derivative and keeps nothing for a backward pass. Classes may
//! differ in size, and an image that is alone in its class does not count. With a miner, an image weighs as often as it
//! is in the tuples, divided by the count of the image that is in most of them. `temperature` is the paper's.

use lossmith_sdk::PositiveTable;
use lossmith_sdk::prelude::*;

strategy! {
    /// Smooth-AP, Brown et al. 2020: average precision by sigmoids.
    pub struct SmoothAp as "smooth-ap" {
        /// What differences of cosines are divided by; lower is nearer to the average precision.
        temperature: f64 = 0.01, range above(0.0);
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for SmoothAp {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (embeddings, labels) = (batch.embeddings(), batch.labels());
        let cosines = embeddings.cosine_matrix(&embeddings);
        let scores = cosines.detach() / self.temperature;
        let same = labels.unsqueeze(1).eq(&labels.unsqueeze(0));
        let positions = Tensor::arange(0, batch.size()).unsqueeze(0);
        let table = PositiveTable::of_width(&same, batch.largest_class());
        let same = same.to_float();
        let share = same.sum(keep(1)).reciprocal();
        let mut precision = Tensor::zeros(&[batch.size(), 1], Dtype::Float);
        let mut gradient = scores.zeros_like();
        for rank in 0..table.width() {
            let (positive, exists) = table.rank(rank);
            let column = positive.unsqueeze(1);
            let weight = &share * exists.unsqueeze(1);
            let ahead = (&scores - scores.gather(1, &column)).sigmoid().masked_fill(&column.eq(&positions), 0.0);
            let of_class = (&ahead * &same).sum(keep(1)) + 1.0;
            let of_all = ahead.sum(keep(1)) + 1.0;
            let ratio = of_class / &of_all;
            // Of the ratio by each score but that of the positive, which moves against the sum of the others.
            let slope = (&ahead - ahead.square()) * (&same - &ratio) * (&weight / of_all);
            gradient = (gradient + &slope).scatter_add(1, &column, &-slope.sum(keep(1)));
            precision = precision + ratio * weight;
        }
        // The bracket is 0; it carries the gradient.
        let moved = ((&cosines - cosines.detach()) * gradient / self.temperature).sum(1);
        let losses = (1.0 - precision.squeeze(1) - moved) * batch.importance();
        self.reducer.reduce(&losses, &same.sum(1).gt(1.0).to_float(), batch)
    }
}
