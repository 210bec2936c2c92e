//! Pairs whose distances are spread evenly: the range from the smallest to the largest distance of the positive pairs
//! is cut into equal bins, and in each bin that has any, pairs are drawn; negative pairs likewise.
//!
//! A pair can be drawn more than once. Defaults are those of pytorch-metric-learning. Draws come from the run's seed
//! and the step.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::positions;

strategy! {
    /// Pairs drawn evenly over the range of distances.
    pub struct UniformHistogram as "uniform-histogram" {
        /// Equal parts of the range of distances.
        bins: i64 = 100, range 1..=100_000;
        /// Positive pairs drawn in each bin.
        positives: i64 = 10, range 0..=10_000;
        /// Negative pairs drawn in each bin.
        negatives: i64 = 10, range 0..=10_000;
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
    }
}

impl Miner for UniformHistogram {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let matrix = self.distance.matrix(&batch.embeddings());
        let labels = batch.labels();
        let (anchors, positives) = self.drawn(&matrix, &same_class(&labels), self.positives);
        let (negative_anchors, negatives) = self.drawn(&matrix, &different_class(&labels), self.negatives);
        Ok(Tuples::pairs(&anchors, &positives, &negative_anchors, &negatives))
    }
}

impl UniformHistogram {
    /// `per_bin` pairs of each bin, of those where `mask` is true.
    fn drawn(&self, matrix: &Tensor, mask: &Tensor, per_bin: i64) -> (Tensor, Tensor) {
        let (rows, columns) = positions(mask);
        if rows.size(0) == 0 {
            return (rows, columns);
        }
        let (values, order) = matrix.at(&rows, &columns).sort(0, false);
        let edges = Tensor::linspace(values.amin(ALL).item(), values.amax(ALL).item(), self.bins + 1);
        // Bin i holds what is from edge i on and below edge i + 1; the last one holds its upper edge, too.
        let starts = values.searchsorted(&edges.narrow(0, 0, self.bins), false);
        let ends =
            Tensor::cat(&[&starts.narrow(0, 1, self.bins - 1), &Tensor::arange(values.size(0), values.size(0) + 1)], 0);
        let counts = ends - &starts;
        let filled = counts.nonzero().select(1, 0);
        let (starts, counts) = (starts.index_select(0, &filled), counts.index_select(0, &filled));
        let shares = random::uniform(&[filled.size(0), per_bin]);
        let places = (shares * counts.unsqueeze(1)).floor().to_dtype(Dtype::Integer) + starts.unsqueeze(1);
        let (pairs, _) = order.index_select(0, &places.reshape(&[-1])).sort(0, false);
        (rows.index_select(0, &pairs), columns.index_select(0, &pairs))
    }
}
