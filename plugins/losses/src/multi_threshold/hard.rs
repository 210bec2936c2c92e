//! The hardest triplet of each anchor in each slice.
//!
//! It is chosen by cosines, without gradient: of unit vectors the largest cosine is the smallest distance. Then the
//! distances of the chosen ones alone are computed from their vectors, so that the backward pass is over K x B vectors
//! and not over K x B x B distances: 16 slices of 32 dimensions take 1.7 times as long as one of 512 (B = 256, both
//! passes, `make bench`).

use lossmith_sdk::prelude::*;

use super::Sides;
use super::slices::Slices;

/// Outside the range of a cosine.
const FAR: f64 = 2.0;

/// The sides of the triplet (anchor, farthest positive, nearest negative) of each anchor in each slice: K x B. An
/// anchor without a positive or a negative has some triplet, which must not count.
pub(super) fn sides(slices: &Slices, same: &Tensor, different: &Tensor) -> Sides {
    let Slices { unit, count, size } = slices;
    let fixed = unit.detach();
    let cosines = fixed.matmul(&fixed.transpose(1, 2));
    let positives = cosines.masked_fill(&same.logical_not(), FAR).argmin(2);
    let negatives = cosines.masked_fill(&different.logical_not(), -FAR).argmax(2);
    let rows = unit.reshape(&[count * size, -1]);
    let first = Tensor::arange(0, *count).unsqueeze(1) * Tensor::from_integers(&[*size], &[1]);
    let vectors = |places: &Tensor| rows.index_select(0, &(places + &first).reshape(&[-1]));
    let (positives, negatives) = (vectors(&positives), vectors(&negatives));
    let distance = |a: &Tensor, b: &Tensor| (a - b).norm(2.0, 1).reshape(&[*count, *size]);
    Sides {
        positive: distance(&rows, &positives),
        negative: distance(&rows, &negatives),
        between: distance(&positives, &negatives),
    }
}
