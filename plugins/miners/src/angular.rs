//! Triplets whose negative sees the pair at more than an angle: `atan(|a - p| / (2 |n - c|))` with the center
//! `c = (a + p) / 2`.
//!
//! The angle's default is that of pytorch-metric-learning. The positives of each anchor are taken one at a time, so no
//! B x B x B tensor is made; the list itself can be long, as that of `triplet`.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{PositiveTable, different_class, same_class};

use crate::{listed, positions};

strategy! {
    /// Triplets with an angle at the negative above a limit, by the angle of Wang et al. 2017 (angular loss).
    pub struct Angular as "angular" {
        /// The limit, in degrees.
        degrees: f64 = 20.0, range between(0.0, 90.0);
    }
}

impl Miner for Angular {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let unit = batch.embeddings().normalize(2.0, 1);
        let distances = unit.distance_matrix(&unit);
        let labels = batch.labels();
        let different = different_class(&labels);
        let limit = 2.0 * self.degrees.to_radians().tan();
        let table = PositiveTable::of_width(&same_class(&labels), batch.largest_class() - 1);
        let of_rank = |rank| {
            let (positive, exists) = table.rank(rank);
            let centers = (&unit + unit.index_select(0, &positive)) / 2.0;
            let length = distances.gather(1, &positive.unsqueeze(1));
            let wide = length.gt(&(centers.distance_matrix(&unit) * limit));
            let (anchors, negatives) = positions(&wide.logical_and(&different).logical_and(&exists.unsqueeze(1)));
            [positive.index_select(0, &anchors), anchors, negatives]
        };
        Ok(listed((0..table.width()).map(of_rank).collect()))
    }
}
