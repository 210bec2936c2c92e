//! `[d_ap - d_an + margin]_+` over triplets, reduced.
//!
//! All triplets of a batch are met without ever listing them: `counted` sorts, `by_rank` loops over positives.

mod by_rank;
pub(crate) mod counted;

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Reduction, Triplets};

strategy! {
    /// Triplet loss, Weinberger and Saul 2009 and Schroff, Kalenichenko and Philbin 2015, over all triplets.
    pub struct Triplet as "triplet" {
        /// How much nearer than a negative a positive has to be.
        margin: f64 = 0.05, range 0.0..;
        /// How embeddings are compared; with cosines the hinge is on their difference.
        distance: Distance = Distance::euclidean();
        /// How the losses of the triplets become one number.
        reducer: Reducer = Reducer::average_non_zero();
        /// Takes the nearer of anchor and positive to the negative (Balntas et al. 2016). Not with a memory.
        swap: bool = false;
        /// A softplus instead of the hinge.
        smooth: bool = false;
        /// Embeddings of earlier batches that the batch is compared with, too; 0 for none.
        memory: CrossBatchMemory = CrossBatchMemory::none();
    }
}

/// All triplets of some anchors: rows x columns, anchors in rows.
pub(crate) struct All<'a> {
    /// Distances; differentiable.
    pub(crate) farness: &'a Tensor,
    /// Which columns are positives of a row.
    pub(crate) same: &'a Tensor,
    /// Which columns are negatives of a row.
    pub(crate) different: &'a Tensor,
    /// Of the anchor with most positives.
    most_positives: i64,
    /// What the losses of each anchor are multiplied by; none for 1.
    weights: Option<&'a Tensor>,
}

/// The losses of all triplets, added.
struct Sum {
    /// Sum of the losses; differentiable.
    loss: Tensor,
    /// Number of losses above 0.
    active: Tensor,
}

impl Loss for Triplet {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        if self.swap && self.memory.size > 0 {
            return Err(
                "`swap` compares positives with negatives, which a memory has no distances for: leave one out".into()
            );
        }
        self.memory.add(batch, progress, |pairs| {
            let farness = self.distance.signed(self.distance.between(&pairs.anchors, pairs.references()));
            match batch.tuples().filter(|_| !pairs.are_with_memory()) {
                Some(tuples) => {
                    let triplets = Triplets::mined(&tuples, batch.size());
                    self.reducer.reduce_listed(&self.losses(&farness, &triplets), &triplets.anchors, batch)
                }
                None => {
                    let (same, different) = (pairs.positive.gt(0.0), pairs.negative.gt(0.0));
                    let most = match pairs.are_with_memory() {
                        true => same.sum(1).amax(ALL).item() as i64,
                        false => most_positives(batch),
                    };
                    Ok(self.all(&farness, &same, &different, most, batch)?.0)
                }
            }
        })
    }
}

impl Triplet {
    /// The loss on Euclidean distances with a hinge.
    pub(crate) fn euclidean(margin: f64, reducer: Reducer, swap: bool) -> Self {
        let (distance, memory) = (Distance::euclidean(), CrossBatchMemory::none());
        Self { margin, distance, reducer, swap, smooth: false, memory }
    }

    /// The loss of all triplets, and how many of them are above 0. Distances and masks have anchors in rows;
    /// `most_positives` are those of the anchor with most of them.
    pub(crate) fn all(
        &self,
        farness: &Tensor,
        same: &Tensor,
        different: &Tensor,
        most_positives: i64,
        batch: &Batch,
    ) -> Result<(Tensor, Tensor)> {
        let per_anchor = || (same.sum(1) * different.sum(1)).to_float();
        let weights = match self.reducer.reduction {
            Reduction::PerAnchor => Some(per_anchor().at_least(1.0).reciprocal()),
            Reduction::ClassWeighted => Some(self.reducer.image_weights(batch)?),
            _ => None,
        };
        let triplets = All { farness, same, different, most_positives, weights: weights.as_ref() };
        let Sum { loss, active } =
            if self.swap || self.smooth { by_rank::sum(self, &triplets) } else { counted::sum(self, &triplets) };
        let loss = match self.reducer.reduction {
            Reduction::Sum => loss,
            Reduction::Divisor => loss / self.reducer.divisor,
            Reduction::PerAnchor => loss / batch.size().max(1) as f64,
            Reduction::Mean | Reduction::ClassWeighted => loss / count(same, different).at_least(1.0),
            Reduction::AverageNonZero | Reduction::Threshold => loss / active.at_least(1.0),
        };
        Ok((loss, active))
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

/// The positives of the image that has most of them, among all images of the batch. Waits for the device.
pub(crate) fn most_positives(batch: &Batch) -> i64 {
    batch.largest_class() - 1
}
