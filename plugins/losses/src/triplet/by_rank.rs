//! All triplets, one positive of each anchor at a time: for forms of the loss that sorting cannot sum. O(B^2) memory.
//!
//! Each round adds its part of the derivative with respect to the distances, so that no round is kept for a backward
//! pass.

use lossmith_sdk::PositiveTable;
use lossmith_sdk::prelude::*;

use super::{All, Sum, Triplet};

pub(super) fn sum(triplet: &Triplet, triplets: &All) -> Sum {
    let &All { farness, same, different, most_positives, weights } = triplets;
    let distances = farness.detach();
    let different = different.to_float();
    let positives = PositiveTable::of_width(same, most_positives);
    let mut loss = Tensor::zeros(&[], Dtype::Float);
    let mut active = Tensor::zeros(&[], Dtype::Float);
    let mut gradient = distances.zeros_like();
    for rank in 0..positives.width() {
        let (positive, exists) = positives.rank(rank);
        let counts = &different * exists.unsqueeze(1);
        let column = positive.unsqueeze(1);
        let violation = distances.gather(1, &column) + triplet.margin;
        // Where the positive is nearer to the negative, it stands in for the anchor; a tie is shared.
        let swapped = triplet.swap.then(|| {
            let from_positive = distances.index_select(0, &positive);
            let share = (distances.gt(&from_positive).to_float() + distances.ge(&from_positive)) / 2.0;
            (distances.minimum(&from_positive), share)
        });
        let violation = violation - swapped.as_ref().map_or(&distances, |(nearest, _)| nearest);
        let (losses, slope) = if triplet.smooth {
            (violation.softplus(1.0), violation.sigmoid())
        } else {
            (violation.relu(), violation.gt(0.0).to_float())
        };
        let counts = match triplet.reducer.high_limit() {
            None => counts,
            Some(high) => counts * losses.gt(triplet.reducer.low_limit()).logical_and(&losses.lt(high)),
        };
        let (losses, slope) = (losses * &counts, slope * counts);
        active = active + losses.gt(0.0).sum(ALL);
        let (losses, slope) = match weights {
            None => (losses, slope),
            Some(weights) => (losses * weights.unsqueeze(1), slope * weights.unsqueeze(1)),
        };
        loss = loss + losses.sum(ALL);
        gradient = gradient.scatter_add(1, &column, &slope.sum(keep(1))) - &slope;
        if let Some((_, share)) = swapped {
            let moved = slope * share;
            gradient = (gradient + &moved).index_add(0, &positive, &-moved);
        }
    }
    Sum { loss: loss.with_gradients(&[(farness, &gradient)]), active }
}
