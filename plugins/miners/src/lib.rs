//! Miners. Positions come out in the order of the anchors, so that one batch always gives one list.

pub mod angular;
pub mod batch_easy_hard;
pub mod batch_hard;
pub mod distance_weighted;
pub mod hdc;
pub mod multi_similarity;
pub mod pair_margin;
pub mod triplet;
pub mod uniform_histogram;

use lossmith_sdk::prelude::*;

lossmith_sdk::export! {
    miners: [
        batch_hard::BatchHard,
        batch_easy_hard::BatchEasyHard,
        triplet::Triplet,
        multi_similarity::MultiSimilarity,
        pair_margin::PairMargin,
        distance_weighted::DistanceWeighted,
        angular::Angular,
        hdc::Hdc,
        uniform_histogram::UniformHistogram,
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

/// The triplets of several lists [positives, anchors, negatives], in the order of the anchors.
fn listed(mut lists: Vec<[Tensor; 3]>) -> Tuples {
    lists.push([Tensor::arange(0, 0), Tensor::arange(0, 0), Tensor::arange(0, 0)]);
    let [positives, anchors, negatives] =
        [0, 1, 2].map(|part| Tensor::cat(&lists.iter().map(|list| &list[part]).collect::<Vec<_>>(), 0));
    let (anchors, order) = anchors.sort(0, false);
    Tuples::triplets(&anchors, &positives.index_select(0, &order), &negatives.index_select(0, &order))
}
