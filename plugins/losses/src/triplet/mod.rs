//! `[d_ap - d_an + margin]_+` over triplets, reduced.
//!
//! All triplets of a batch are met without ever listing them: `counted` sorts, `by_rank` loops over positives.

mod by_rank;
pub(crate) mod counted;

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Triplets, different_class, same_class};

strategy! {
    /// Triplet loss, Weinberger and Saul 2009 and Schroff, Kalenichenko and Philbin 2015, over all triplets.
    pub struct Triplet as "triplet" {
        /// How much nearer than a negative a positive has to be.
        margin: f64 = 0.05, range 0.0..=4.0;
        /// How embeddings are compared; with cosines the hinge is on their difference.
        distance: Distance = Distance::Euclidean;
        /// How the losses of the triplets become one number.
        reducer: Reducer = Reducer::AverageNonZero;
        /// Takes the nearer of anchor and positive to the negative (Balntas et al. 2016).
        swap: bool = false;
        /// A softplus instead of the hinge.
        smooth: bool = false;
    }
}

/// The losses of all triplets, added.
struct Sum {
    /// Sum of the losses; differentiable.
    loss: Tensor,
    /// Number of losses above 0.
    active: Tensor,
}

impl Loss for Triplet {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let farness = self.distance.farness(&batch.embeddings());
        if let Some(tuples) = batch.tuples() {
            return Ok(self.reducer.reduce(&self.losses(&farness, &Triplets::mined(&tuples, batch.size()))));
        }
        let labels = batch.labels();
        Ok(self.all(&farness, &same_class(&labels), &different_class(&labels)).0)
    }
}

impl Triplet {
    /// The loss on Euclidean distances with a hinge.
    pub(crate) fn euclidean(margin: f64, reducer: Reducer, swap: bool) -> Self {
        Self { margin, distance: Distance::Euclidean, reducer, swap, smooth: false }
    }

    /// The loss of all triplets, given B x B distances and masks, and how many of them are above 0.
    pub(crate) fn all(&self, farness: &Tensor, same: &Tensor, different: &Tensor) -> (Tensor, Tensor) {
        let Sum { loss, active } = if self.swap || self.smooth {
            by_rank::sum(self, farness, same, different)
        } else {
            counted::sum(self.margin, farness, same, different)
        };
        let count = match self.reducer {
            Reducer::Mean => &count(same, different),
            Reducer::AverageNonZero => &active,
        };
        (loss / count.at_least(1.0), active)
    }

    /// The loss of each of the listed triplets.
    pub(crate) fn losses(&self, farness: &Tensor, triplets: &Triplets) -> Tensor {
        let Triplets { anchors, positives, negatives } = triplets;
        let to_negative = farness.at(anchors, negatives);
        let to_negative = if self.swap { to_negative.minimum(&farness.at(positives, negatives)) } else { to_negative };
        let violation = farness.at(anchors, positives) - to_negative + self.margin;
        if self.smooth { violation.softplus(1.0) } else { violation.relu() }
    }
}

/// How many triplets masks of pairs make; anchors are in rows.
pub(crate) fn count(same: &Tensor, different: &Tensor) -> Tensor {
    (same.sum(1) * different.sum(1)).sum(ALL).to_float()
}
