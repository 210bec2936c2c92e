//! Miners. Positions come out in the order of the anchors, so that one batch always gives one list.

pub mod batch_easy_hard;
pub mod batch_hard;
pub mod multi_similarity;
pub mod pair_margin;
pub mod triplet;

use lossmith_sdk::prelude::*;

lossmith_sdk::export! {
    miners: [
        batch_hard::BatchHard,
        batch_easy_hard::BatchEasyHard,
        triplet::Triplet,
        multi_similarity::MultiSimilarity,
        pair_margin::PairMargin,
    ]
}

/// Rows and columns of the true elements of a matrix, or the same position twice for a vector.
fn positions(mask: &Tensor) -> (Tensor, Tensor) {
    let positions = mask.nonzero();
    (positions.select(1, 0), positions.select(1, -1))
}

/// The pairs where these B x B masks are true.
fn pairs(positive: &Tensor, negative: &Tensor) -> Tuples {
    let (anchors, positives) = positions(positive);
    let (negative_anchors, negatives) = positions(negative);
    Tuples::pairs(&anchors, &positives, &negative_anchors, &negatives)
}
