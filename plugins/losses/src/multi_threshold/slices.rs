//! The slices of a batch, and distances in all of them at once.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Reduction, Triplets};

use super::{All, PerSlice, Sides};
use crate::triplet::counted::{self, Counts};

/// Distances that are counted at once, at most, but one slice: counting takes about ten tensors of so many elements
/// beside those of the backward pass. All 64 slices of 1024 images at once take 93 times as long as one and 2.5 GB, in
/// these parts 27 times and 0.5 GB (`make bench`).
const AT_ONCE: i64 = 1 << 21;

/// K slices of B embeddings, each normalised.
pub(crate) struct Slices {
    /// K x B x D/K; differentiable.
    pub(crate) unit: Tensor,
    pub(crate) count: i64,
    pub(crate) size: i64,
}

impl Slices {
    pub(crate) fn of(batch: &Batch) -> Self {
        let (size, count) = (batch.size(), batch.slice_count());
        let slices = batch.embeddings().reshape(&[size, count, batch.dimension() / count]);
        Self { unit: slices.permute(&[1, 0, 2]).normalize(2.0, 2), count, size }
    }

    /// Distances of all pairs, K x B x B.
    fn matrix(&self) -> Tensor {
        self.unit.distance_matrix(&self.unit)
    }

    /// The sides of the same triplets in each slice.
    pub(super) fn sides(&self, Triplets { anchors, positives, negatives }: &Triplets) -> Sides {
        let matrix = self.matrix().reshape(&[self.count, self.size * self.size]);
        let at = |rows: &Tensor, columns: &Tensor| {
            matrix.index_select(1, &(rows * &Tensor::from_integers(&[self.size], &[1]) + columns))
        };
        Sides { positive: at(anchors, positives), negative: at(anchors, negatives), between: at(positives, negatives) }
    }

    /// The loss of all triplets of each slice, or of the semi-hard ones.
    pub(super) fn counted(&self, thresholds: &[f64], triplets: &All, semi_hard: bool, reducer: &Reducer) -> PerSlice {
        let at_once = (AT_ONCE / (self.size * self.size)).clamp(1, self.count);
        let parts = thresholds.chunks(at_once as usize).zip(0..).map(|(thresholds, part)| {
            let count = thresholds.len() as i64;
            let part = Self { unit: self.unit.narrow(0, part * at_once, count), count, size: self.size };
            part.counted_at_once(thresholds, triplets, semi_hard, reducer)
        });
        let (losses, active): (Vec<_>, Vec<_>) = parts.map(|part| (part.losses, part.active)).unzip();
        let joined = |parts: &[Tensor]| Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        PerSlice { losses: joined(&losses), active: joined(&active) }
    }

    fn counted_at_once(&self, thresholds: &[f64], triplets: &All, semi_hard: bool, reducer: &Reducer) -> PerSlice {
        let rows = self.matrix().reshape(&[self.count * self.size, self.size]);
        let repeated = |mask: &Tensor| mask.repeat(&[self.count, 1]);
        let (others, different) = (repeated(&triplets.same.logical_not()), repeated(&triplets.different.to_float()));
        let distances = rows.detach();
        let margins = Tensor::from_doubles(thresholds, &[self.count, 1]);
        let by_row = margins.expand(&[self.count, self.size]).reshape(&[-1, 1]);
        // Those whose negative is nearer than this (`equal`: or just there).
        let nearer = |than: &Tensor, equal| {
            counted::count(than, &distances, &others, &different, triplets.most_positives, equal)
        };
        let low = reducer.low_limit();
        let mut counts = nearer(&(&distances + (&by_row - low)), false);
        // Those that cost too much are taken off again; a semi-hard triplet costs less than the threshold.
        let beyond = match (semi_hard, reducer.high_limit()) {
            (false, None) => None,
            (true, None) => nearer(&distances, true),
            (false, Some(high)) => nearer(&(&distances + (&by_row - high.max(low))), true),
            (true, Some(high)) => nearer(&(&distances + (&by_row - by_row.at_most(high).at_least(low))), true),
        };
        if let Some(within) = &mut counts
            && let Some(beyond) = beyond
        {
            within.coefficients = &within.coefficients - beyond.coefficients;
            within.active = &within.active - beyond.active;
        }
        let (weighed, active) = match counts {
            Some(Counts { coefficients, active }) => (rows * coefficients, active),
            None => (&rows * 0.0, rows.detach() * 0.0),
        };
        let per_anchor = |rows: &Tensor| rows.sum(1).reshape(&[self.count, self.size]);
        let active = per_anchor(&active);
        let sums = per_anchor(&weighed) + &margins * &active;
        let sums = if let Some(weights) = triplets.of_images { sums * weights } else { sums };
        let of_anchors = (triplets.same.sum(1) * triplets.different.sum(1)).to_float();
        // All semi-hard triplets are above 0.
        let judged = if semi_hard { &active } else { &of_anchors };
        let judged_at_all = if semi_hard { active.sum(1) } else { of_anchors.sum(ALL) };
        let losses = match reducer.reduction {
            Reduction::Sum => sums.sum(1),
            Reduction::Divisor => sums.sum(1) / reducer.divisor,
            Reduction::PerAnchor => (sums / judged.at_least(1.0)).sum(1) / self.size as f64,
            Reduction::Mean | Reduction::ClassWeighted => sums.sum(1) / judged_at_all.at_least(1.0),
            Reduction::AverageNonZero | Reduction::Threshold => sums.sum(1) / active.sum(1).at_least(1.0),
        };
        PerSlice { losses, active: active.sum(1) / of_anchors.sum(ALL).at_least(1.0) }
    }
}
