//! For each image, of the squared distances of normalised embeddings (0 to 4) to its positives and to all others, the
//! soft histograms `h+` and `h` with `bins + 1` nodes and their running sums `H+` and `H`; then with `P` positives
//! `1 - 1/P sum_b h+_b H+_b / H_b`.
//!
//! A distance is shared by its two neighbouring nodes, which is what triangular pulses of one bin's width give: memory
//! is B x B, not B x B x bins. An image that is alone in its class does not count. With a miner, an image weighs as
//! often as it is in the tuples, divided by the count of the image that is in most of them. `bins` is the reference's.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Formula, off_diagonal, same_class};

use crate::soft_histogram::{Places, places};

strategy! {
    /// FastAP, Cakir et al. 2019: average precision by soft histograms.
    pub struct FastAp as "fast-ap" {
        /// Bins of the histograms.
        bins: i64 = 10, range 1..;
        /// How the losses of the images become one number.
        reducer: Reducer = Reducer::mean();
    }
}

impl Loss for FastAp {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (size, nodes) = (batch.size(), self.bins + 1);
        let distances = Distance::new(Formula::SquaredEuclidean).matrix(&batch.embeddings());
        let Places { lower, of_lower, of_upper } = places(&(distances * (self.bins as f64 / 4.0)), self.bins);
        let same = same_class(&batch.labels());
        let others = off_diagonal(size);
        // Positives in one half of each row, negatives in the other one.
        let node = (lower + same.logical_not() * nodes as f64).to_dtype(Dtype::Integer);
        let above = (&node + 1.0).to_dtype(Dtype::Integer);
        let histograms = Tensor::zeros(&[size, 2 * nodes], Dtype::Float)
            .scatter_add(1, &node, &(of_lower * &others))
            .scatter_add(1, &above, &(of_upper * others));
        let positive = histograms.narrow(1, 0, nodes);
        let reached = positive.cumsum(1);
        let all = (&positive + histograms.narrow(1, nodes, nodes)).cumsum(1);
        // Nothing at a node: 0 / 0 is 0.
        let precision = (positive * reached / all.at_least(1e-30)).sum(1) / same.sum(1).to_float().at_least(1.0);
        let losses = (1.0 - precision) * batch.importance();
        self.reducer.reduce(&losses, &same.any(1).to_float(), batch)
    }
}
