//! All triplets with a hinge, in O(B^2 log P) time and O(B^2) memory for P positives of an anchor.
//!
//! The sum over triplets of `[d_ap + m - d_an]_+` is linear in the distances as long as the same triplets are above 0:
//! `sum_ap c_ap (d_ap + m) - sum_an k_an d_an`, where `c_ap` counts the negatives that are nearer than `d_ap + m`, and
//! `k_an` the positives for which the negative `n` is nearer than that. With the counts as constants the gradient is
//! exact and its backward pass is one multiplication.
//!
//! Both counts come from one search: each negative is placed among the P sorted thresholds `d_ap + m` of its anchor.
//! The thresholds above it are `k_an`; the histogram of the places, summed up, is `c_ap`.

use lossmith_sdk::prelude::*;

use super::{All, Sum, Triplet};

/// The triplets above 0. Anchors are in rows.
pub(crate) struct Counts {
    /// What each distance is multiplied by: `c_ap` at positives, `-k_an` at negatives. Of the shape of the distances.
    pub(crate) coefficients: Tensor,
    /// How many there are for each positive of an anchor.
    pub(crate) active: Tensor,
}

pub(super) fn sum(triplet: &Triplet, triplets: &All) -> Sum {
    let &All { farness, same, different, most_positives, weights } = triplets;
    let distances = farness.detach();
    let (others, different) = (same.logical_not(), different.to_float());
    let above = |limit: f64, equal| {
        count(&(&distances + (triplet.margin - limit)), &distances, &others, &different, most_positives, equal)
    };
    let Some(Counts { mut coefficients, active }) = above(triplet.reducer.low_limit(), false) else {
        let loss = (farness * 0.0).sum(ALL);
        return Sum { active: loss.detach(), loss };
    };
    let mut active = active.sum(1);
    // Those not below the upper limit are taken off again.
    if let Some(high) = triplet.reducer.high_limit()
        && let Some(beyond) = above(high, true)
    {
        coefficients = coefficients - beyond.coefficients;
        active = active - beyond.active.sum(1);
    }
    let rows = (farness * coefficients).sum(1) + triplet.margin * &active;
    let rows = if let Some(weights) = weights { rows * weights } else { rows };
    Sum { loss: rows.sum(ALL), active: active.sum(ALL) }
}

/// Counts the triplets with `d_an < t_ap`, or `d_an <= t_ap` with `equal`; none if no anchor has a positive. All are
/// rows x B without gradient: `distances` has an anchor in each row, `others` says which columns are not its positives,
/// `different` is 1 at its negatives and else 0, `thresholds` has `t_ap` at the positives, and the anchor with most
/// positives has `width` of them.
pub(crate) fn count(
    thresholds: &Tensor,
    distances: &Tensor,
    others: &Tensor,
    different: &Tensor,
    width: i64,
    equal: bool,
) -> Option<Counts> {
    if width == 0 {
        return None;
    }
    // Anchors with fewer positives are filled up with thresholds that no negative is below.
    let thresholds = thresholds.masked_fill(others, f64::NEG_INFINITY);
    let (thresholds, positives) = thresholds.topk(width, 1, true);
    let (thresholds, positives) = (thresholds.flip(&[1]), positives.flip(&[1]));
    // Thresholds that are not above the distance, so that a hinge at exactly 0 does not count; with `equal`, below it.
    let place = thresholds.searchsorted(distances, !equal);
    let per_place = Tensor::zeros(&[distances.size(0), width + 1], Dtype::Float).scatter_add(1, &place, different);
    let active = per_place.cumsum(1).narrow(1, 0, width);
    let coefficients = ((place - width as f64) * different).scatter_add(1, &positives, &active);
    Some(Counts { coefficients, active })
}
