//! The slices of a batch, and distances in all of them at once.

use lossmith_sdk::Triplets;
use lossmith_sdk::prelude::*;

use super::{Average, PerSlice, Sides};
use crate::triplet::count;
use crate::triplet::counted::{self, Counts};

/// Distances that are counted at once, at most, but one slice: counting takes about ten tensors of so many elements beside those
/// of the backward pass. All 64 slices of 1024 images at once take 93 times as long as one and 2.5 GB, in these parts 27 times
/// and 0.5 GB (`make bench`).
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
    pub(super) fn counted(
        &self,
        thresholds: &[f64],
        same: &Tensor,
        different: &Tensor,
        semi_hard: bool,
        reducer: Average,
    ) -> PerSlice {
        let at_once = (AT_ONCE / (self.size * self.size)).clamp(1, self.count);
        let parts = thresholds.chunks(at_once as usize).zip(0..).map(|(thresholds, part)| {
            let count = thresholds.len() as i64;
            let part = Self { unit: self.unit.narrow(0, part * at_once, count), count, size: self.size };
            part.counted_at_once(thresholds, same, different, semi_hard, reducer)
        });
        let (losses, active): (Vec<_>, Vec<_>) = parts.map(|part| (part.losses, part.active)).unzip();
        let joined = |parts: &[Tensor]| Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        PerSlice { losses: joined(&losses), active: joined(&active) }
    }

    fn counted_at_once(
        &self,
        thresholds: &[f64],
        same: &Tensor,
        different: &Tensor,
        semi_hard: bool,
        reducer: Average,
    ) -> PerSlice {
        let rows = self.matrix().reshape(&[self.count * self.size, self.size]);
        let repeated = |mask: &Tensor| mask.repeat(&[self.count, 1]);
        let (same, different) = (repeated(same), repeated(different));
        let distances = rows.detach();
        let margins = Tensor::from_doubles(thresholds, &[self.count, 1]);
        let by_row = margins.expand(&[self.count, self.size]).reshape(&[-1, 1]);
        let mut counts = counted::count(&(&distances + by_row), &distances, &same, &different, false);
        if let Some(within) = &mut counts
            && semi_hard
            && let Some(hard) = counted::count(&distances, &distances, &same, &different, true)
        {
            within.coefficients = &within.coefficients - hard.coefficients;
            within.active = &within.active - hard.active;
        }
        let (weighed, active) = match counts {
            Some(Counts { coefficients, active }) => (rows * coefficients, active),
            None => (&rows * 0.0, rows.detach() * 0.0),
        };
        let per_slice = |rows: &Tensor| rows.reshape(&[self.count, -1]).sum(1);
        let active = per_slice(&active);
        let sum = per_slice(&weighed) + margins.squeeze(1) * &active;
        let all = count(&same, &different) / self.count as f64;
        // All semi-hard triplets are above 0.
        let divisor = if reducer == Average::All && !semi_hard { &all } else { &active };
        PerSlice { losses: sum / divisor.at_least(1.0), active: active / all.at_least(1.0) }
    }
}
