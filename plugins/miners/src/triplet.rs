//! Triplets chosen by `d_an - d_ap`, the room between the positive and the negative.
//!
//! The positives of each anchor are taken one at a time, so no B x B x B tensor is made. The list itself is as long as
//! the triplets are many: up to B (K - 1) (B - K) for K images per class, with `easy` and `all` in particular.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{PositiveTable, different_class, same_class};

use crate::{listed, positions};

choices! {
    /// Which triplets are kept.
    pub enum Kind {
        /// All with a room of at most the margin.
        All = "all",
        /// Those of `all` whose negative is not farther than the positive.
        Hard = "hard",
        /// Those of `all` whose negative is farther than the positive.
        SemiHard = "semi-hard",
        /// Those with a room of more than the margin.
        Easy = "easy",
    }
}

strategy! {
    /// Triplets that violate a margin; `semi-hard` as in Schroff, Kalenichenko and Philbin 2015.
    pub struct Triplet as "triplet" {
        /// How much farther than a positive a negative has to be.
        margin: f64 = 0.2, range 0.0..;
        /// Which triplets are kept.
        kind: Kind = Kind::All;
        /// How embeddings are compared; with cosines the room is their difference.
        distance: Distance = Distance::euclidean();
    }
}

impl Miner for Triplet {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let farness = self.distance.farness(&batch.embeddings());
        let labels = batch.labels();
        let different = different_class(&labels);
        let table = PositiveTable::of_width(&same_class(&labels), batch.largest_class() - 1);
        let of_rank = |rank| {
            let (positive, exists) = table.rank(rank);
            let room = &farness - farness.gather(1, &positive.unsqueeze(1));
            let valid = different.logical_and(&exists.unsqueeze(1));
            let (anchors, negatives) = positions(&self.keeps(&room).logical_and(&valid));
            [positive.index_select(0, &anchors), anchors, negatives]
        };
        Ok(listed((0..table.width()).map(of_rank).collect()))
    }
}

impl Triplet {
    /// Where a triplet with this room is kept.
    fn keeps(&self, room: &Tensor) -> Tensor {
        let violates = room.le(self.margin);
        match self.kind {
            Kind::All => violates,
            Kind::Hard => violates.logical_and(&room.le(0.0)),
            Kind::SemiHard => violates.logical_and(&room.gt(0.0)),
            Kind::Easy => violates.logical_not(),
        }
    }
}
