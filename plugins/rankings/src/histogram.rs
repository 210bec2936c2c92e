//! With the soft histograms `h+` and `h-` of the cosines of positive and of negative pairs, each of the sum 1, with
//! `bins + 1` nodes from -1 to 1: `sum_r h-_r sum_(q <= r) h+_q`, an estimate of the chance that a negative pair is
//! nearer than a positive one.
//!
//! A cosine is shared by its two neighbouring nodes, so that memory is B x B, not B x B x bins. A pair counts once,
//! whichever image is its anchor and however often a miner found it, if it is in a triplet: if one of its images has a
//! positive and a negative. A batch without triplets costs nothing. `bins` is the reference's; the distance between
//! nodes is 2 / bins.

use lossmith_sdk::prelude::*;

use crate::soft_histogram::{Places, places};

strategy! {
    /// Histogram loss, Ustinova and Lempitsky 2016.
    pub struct Histogram as "histogram" {
        /// Bins of the histograms.
        bins: i64 = 100, range 1..;
    }
}

impl Loss for Histogram {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let nodes = self.bins + 1;
        let cosines = embeddings.cosine_matrix(&embeddings);
        let Places { lower, of_lower, of_upper } = places(&((cosines + 1.0) * (self.bins as f64 / 2.0)), self.bins);
        let pairs = PairWeights::of(batch);
        let (positive, negative) = (pairs.positive.gt(0.0), pairs.negative.gt(0.0));
        let in_triplets = positive.any(keep(1)).logical_and(&negative.any(keep(1)));
        let either_way = |mask: &Tensor| {
            let mask = mask.logical_and(&in_triplets);
            mask.logical_or(&mask.transpose(0, 1)).to_float()
        };
        let (positive, negative) = (either_way(&positive), either_way(&negative));
        let weights = &positive / positive.sum(ALL).at_least(1.0) + &negative / negative.sum(ALL).at_least(1.0);
        // Positive pairs in the first half, negative pairs in the other one.
        let node = (lower + negative * nodes as f64).to_dtype(Dtype::Integer).reshape(&[-1]);
        let above = (&node + 1.0).to_dtype(Dtype::Integer);
        let histograms = Tensor::zeros(&[2 * nodes], Dtype::Float)
            .scatter_add(0, &node, &(of_lower * &weights).reshape(&[-1]))
            .scatter_add(0, &above, &(of_upper * weights).reshape(&[-1]));
        let below = histograms.narrow(0, 0, nodes).cumsum(0);
        Ok((below * histograms.narrow(0, nodes, nodes)).sum(ALL))
    }
}
