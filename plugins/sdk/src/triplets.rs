//! Triplets of a batch as positions, without a B x B x B tensor.

use crate::{ALL, Tensor, Tuples};

/// Triplets: `anchors[i]`, `positives[i]` and `negatives[i]` belong together.
#[derive(Debug)]
pub struct Triplets {
    /// Positions of the anchors, T.
    pub anchors: Tensor,
    /// Positions of images of the same class, T.
    pub positives: Tensor,
    /// Positions of images of another class, T.
    pub negatives: Tensor,
}

impl Triplets {
    /// Farthest positive and nearest negative of each anchor that has both (Hermans, Beyer and Leibe 2017, eq. 5),
    /// given B x B distances and masks of the pairs of one class and of two. Waits for the device.
    pub fn batch_hard(farness: &Tensor, same: &Tensor, different: &Tensor) -> Self {
        let positives = farness.masked_fill(&same.logical_not(), f64::NEG_INFINITY).argmax(1);
        let negatives = farness.masked_fill(&different.logical_not(), f64::INFINITY).argmin(1);
        let anchors = same.any(1).logical_and(&different.any(1)).nonzero().select(1, 0);
        let of = |places: &Tensor| places.index_select(0, &anchors);
        Self { positives: of(&positives), negatives: of(&negatives), anchors }
    }

    /// What a miner found in a batch of `size` images. Of pairs, each positive pair is joined with each negative pair
    /// of the same anchor; that waits for the device.
    pub fn mined(tuples: &Tuples, size: i64) -> Self {
        let (anchors, positives, negatives) = (tuples.anchors(), tuples.positives(), tuples.negatives());
        if tuples.are_triplets() {
            return Self { anchors, positives, negatives };
        }
        // Negatives in the order of their anchors: those of one anchor are a range.
        let (_, order) = tuples.negative_anchors().sort(0, false);
        let negatives = negatives.index_select(0, &order);
        let range_length = tuples.negative_anchors().bincount(size);
        let range_start = range_length.cumsum(0) - &range_length;
        // Each positive pair takes as many triplets as its anchor has negatives.
        let length = range_length.index_select(0, &anchors);
        let end = length.cumsum(0);
        let count = length.sum(ALL).item() as i64;
        if count == 0 {
            let none = || Tensor::arange(0, 0);
            return Self { anchors: none(), positives: none(), negatives: none() };
        }
        let triplet = Tensor::arange(0, count);
        let pair = end.searchsorted(&triplet, true);
        let place = triplet - (end - length).index_select(0, &pair);
        let anchors = anchors.index_select(0, &pair);
        let negative = range_start.index_select(0, &anchors) + place;
        Self { positives: positives.index_select(0, &pair), negatives: negatives.index_select(0, &negative), anchors }
    }
}

/// The positives of each anchor, by rank: the first one in the batch, the second one, and so on. A loop over ranks
/// meets every triplet with B x B memory.
#[derive(Debug)]
pub struct PositiveTable {
    positions: Tensor,
    exists: Tensor,
    width: i64,
}

impl PositiveTable {
    /// Of a B x B mask of positive pairs, anchors in rows. Waits for the device.
    pub fn of(positive: &Tensor) -> Self {
        Self::of_width(positive, positive.sum(1).amax(ALL).item() as i64)
    }

    /// As [`of`](Self::of), where it is known that the anchor with most positives has `width` of them, as
    /// [`Batch::largest_class`](crate::Batch::largest_class) tells: such a call can be recorded.
    pub fn of_width(positive: &Tensor, width: i64) -> Self {
        let size = positive.size(0);
        // Different keys for the positives of a row, larger for those that come first: the order is always the same.
        let keys = positive * (size as f64 - Tensor::arange(0, size));
        let (keys, positions) = keys.topk(width, 1, true);
        Self { exists: keys.gt(0.0), positions, width }
    }

    /// Positives of the anchor that has most of them.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// For each anchor the position of its positive number `rank` (from 0), and whether it has one. Both B.
    pub fn rank(&self, rank: i64) -> (Tensor, Tensor) {
        (self.positions.select(1, rank), self.exists.select(1, rank))
    }
}
