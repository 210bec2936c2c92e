//! The hardest share of the positive pairs, the farthest, and of the negative pairs, the nearest, over the whole batch.
//!
//! The share is rounded up to a number of pairs; of equally hard pairs those come first whose anchor does. The default
//! is that of pytorch-metric-learning.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::positions;

/// Intervals of the range of the values. Only those of one interval are sorted: to sort all took most of the time, 204
/// ms for the pairs of 1024 images, where finding the interval takes some passes.
const BINS: i64 = 4096;

strategy! {
    /// The hardest share of all pairs, Yuan, Yang and Zhang 2017 (hard-aware deeply cascaded embedding).
    pub struct Hdc as "hdc" {
        /// The share that is kept.
        fraction: f64 = 0.5, range 0.0..=1.0;
        /// How embeddings are compared.
        distance: Distance = Distance::euclidean();
    }
}

impl Miner for Hdc {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let farness = self.distance.farness(&batch.embeddings());
        let labels = batch.labels();
        let (anchors, positives) = self.hardest(&farness, &same_class(&labels), true);
        let (negative_anchors, negatives) = self.hardest(&farness, &different_class(&labels), false);
        Ok(Tuples::pairs(&anchors, &positives, &negative_anchors, &negatives))
    }
}

impl Hdc {
    /// The farthest (or nearest) share of the pairs where `mask` is true.
    fn hardest(&self, farness: &Tensor, mask: &Tensor, farthest: bool) -> (Tensor, Tensor) {
        let (rows, columns) = positions(mask);
        let count = (self.fraction * rows.size(0) as f64).ceil() as i64;
        let values = farness.at(&rows, &columns);
        let kept = largest(&if farthest { values } else { -values }, count);
        (rows.index_select(0, &kept), columns.index_select(0, &kept))
    }
}

/// The positions of the `count` largest of `values`, N, in ascending order; of equal ones the first.
fn largest(values: &Tensor, count: i64) -> Tensor {
    if count == 0 {
        return Tensor::arange(0, 0);
    }
    let top = values.amax(ALL).item();
    let scale = BINS as f64 / (top - values.amin(ALL).item());
    // All are equal or nearly so, or one is not finite.
    if !scale.is_normal() || scale > 1e30 {
        return first_sorted(values, count).sort(0, false).0;
    }
    // Bin 0 has the largest. Rounding is monotone, so no value is in a later bin than a smaller one.
    let bins = ((top - values) * scale).to_dtype(Dtype::Integer);
    let up_to = bins.bincount(BINS + 1).cumsum(0);
    let last = up_to.searchsorted(&Tensor::from_integers(&[count], &[1]), false).item() as i64;
    let before = if last == 0 { 0 } else { up_to.narrow(0, last - 1, 1).item() as i64 };
    let (of_last, _) = positions(&bins.eq(last as f64));
    let of_last = of_last.index_select(0, &first_sorted(&values.index_select(0, &of_last), count - before));
    let kept = bins.lt(last as f64).to_float().index_add(0, &of_last, &Tensor::ones(&[count - before], Dtype::Float));
    positions(&kept).0
}

/// The positions of the `count` largest of `values`, largest first; of equal ones the first.
fn first_sorted(values: &Tensor, count: i64) -> Tensor {
    values.sort(0, true).1.narrow(0, 0, count)
}
