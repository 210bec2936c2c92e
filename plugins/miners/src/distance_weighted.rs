//! For each pair of an anchor and a positive one negative, drawn with a probability in proportion to `1 / q(d)`, where
//! `q(d) = d^(D - 2) (1 - d^2 / 4)^((D - 3) / 2)` is the density of the distances d of random points of the unit
//! sphere. So the distances of the negatives that are drawn are spread evenly.
//!
//! Distances below `cutoff` count as `cutoff`. Negatives at `nonzero-loss-cutoff` or farther are not drawn, and anchors
//! that have none nearer are left out. Both defaults are the paper's. pytorch-metric-learning draws the positives, too;
//! here each is taken once, as in the paper. Draws come from the run's seed and the step.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{different_class, same_class};

use crate::positions;

strategy! {
    /// Distance-weighted sampling of negatives, Wu et al. 2017.
    pub struct DistanceWeighted as "distance-weighted" {
        /// Distances below this count as this.
        cutoff: f64 = 0.5, range between(0.0, 2.0);
        /// Negatives at this distance or farther are not drawn.
        nonzero_loss_cutoff: f64 = 1.4, range above(0.0);
    }
}

impl Miner for DistanceWeighted {
    fn mine(&self, batch: &Batch, _: &Progress) -> Result<Tuples> {
        let unit = batch.embeddings().normalize(2.0, 1);
        let distances = unit.distance_matrix(&unit).at_least(self.cutoff);
        let labels = batch.labels();
        let dimension = batch.dimension() as f64;
        let rest = 1.0 - distances.square() / 4.0;
        // The density of opposite points is 0 or infinite.
        let near = distances.lt(self.nonzero_loss_cutoff).logical_and(&rest.gt(0.0));
        let allowed = different_class(&labels).logical_and(&near);
        let logarithms = distances.log() * (2.0 - dimension) - rest.at_least(1e-30).log() * ((dimension - 3.0) / 2.0);
        // Relative to the likeliest negative of the anchor; of an anchor without one no weight is above 0.
        let logarithms = logarithms.masked_fill(&allowed.logical_not(), f64::NEG_INFINITY);
        let weights = (&logarithms - logarithms.amax(keep(1)).at_least(-1e30)).exp();
        let sums = weights.cumsum(1);
        // The drawn negative of a pair is the first one whose running sum is above a random share of the whole sum.
        let last = batch.size() - 1;
        let drawn = random::uniform(&[batch.size(), batch.size()]) * sums.narrow(1, last, 1);
        // Where no weight is above 0 the place is behind the last one.
        let negatives = sums.searchsorted(&drawn, true).minimum(&Tensor::arange(last, last + 1));
        let right = same_class(&labels).logical_and(&allowed.gather(1, &negatives));
        let (anchors, positives) = positions(&right);
        let negatives = negatives.at(&anchors, &positives);
        Ok(Tuples::triplets(&anchors, &positives, &negatives))
    }
}
