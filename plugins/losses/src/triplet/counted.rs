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

use super::Sum;

pub(super) fn sum(margin: f64, farness: &Tensor, same: &Tensor, different: &Tensor) -> Sum {
    let width = same.sum(1).amax(ALL).item() as i64;
    if width == 0 {
        let loss = (farness * 0.0).sum(ALL);
        return Sum { active: loss.detach(), loss };
    }
    let distances = farness.detach();
    // Anchors with fewer positives are filled up with thresholds that no negative is below.
    let thresholds = (&distances + margin).masked_fill(&same.logical_not(), f64::NEG_INFINITY);
    let (thresholds, positives) = thresholds.topk(width, 1, true);
    let (thresholds, positives) = (thresholds.flip(&[1]), positives.flip(&[1]));
    // Thresholds that are not above the distance: a hinge at exactly 0 does not count.
    let place = thresholds.searchsorted(&distances, true);
    let different = different.to_float();
    let per_place = Tensor::zeros(&[distances.size(0), width + 1], Dtype::Float).scatter_add(1, &place, &different);
    let per_positive = per_place.cumsum(1).narrow(1, 0, width);
    let per_negative = (width as f64 - place) * different;
    let coefficients = (-per_negative).scatter_add(1, &positives, &per_positive);
    let active = per_positive.sum(ALL);
    Sum { loss: (farness * coefficients).sum(ALL) + margin * &active, active }
}
