//! A miner: embeddings and labels in, tuples of positions in the batch out.
//!
//! It chooses what the loss of the same objective is computed on:
//! `Tuples::pairs(anchors, positives, negative_anchors, negatives)` or
//! `Tuples::triplets(anchors, positives, negatives)`, vectors of integers from 0 to B - 1. The embeddings carry no
//! gradient here.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

export! { miners: [{{struct}}] }

strategy! {
    /// All pairs that are nearer than a margin.
    pub struct {{struct}} as "{{name}}" {
        // Each parameter has a default, one line for users, and a range that the host checks.
        /// Pairs nearer than this are kept.
        margin: f64 = 0.8, range 0.0..=2.0;
    }
}

impl Miner for {{struct}} {
    fn mine(&self, batch: &Batch, _progress: &Progress) -> Result<Tuples> {
        let x = batch.embeddings().normalize(2.0, 1);
        let near = x.distance_matrix(&x).lt(self.margin);
        let labels = batch.labels();
        // Positions of the true elements, one row (anchor, other) for each.
        let positive = near.logical_and(&same_class(&labels)).nonzero();
        let negative = near.logical_and(&different_class(&labels)).nonzero();
        let (anchors, positives) = (positive.select(1, 0), positive.select(1, 1));
        Ok(Tuples::pairs(&anchors, &positives, &negative.select(1, 0), &negative.select(1, 1)))
    }
}
