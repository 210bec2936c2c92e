//! A triplet loss with a threshold of its own for each slice of the embedding; the mean over the slices is the loss.
//!
//! The embedding is K slices of D/K dimensions, each L2-normalised by itself, with Euclidean distances d. Slice k has
//! the threshold t_k of the objective's schedule. For a triplet (a, p, n) its loss is `[d(a,p) - d(a,n) + t_k]_+`,
//! plus, with `dual`, one of three readings of the published "dual triplet loss", whose formula is not public: the
//! ordinary hinge judges d(a,n) alone, and the pair (p, n) of the same three images goes unjudged.
//!
//! All slices are computed together. Without a miner each slice chooses its triplets by its own distances; what a miner
//! of the objective found on the whole embedding is shared by all slices.

mod hard;
mod monitor;
mod slices;

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Reduction, Triplets, different_class, same_class};

use crate::triplet::{Triplet, count, most_positives};
use monitor::Monitor;
use slices::Slices;

choices! {
    /// Which triplets of a slice count.
    pub enum Mining {
        /// Farthest positive and nearest negative of each anchor (Hermans, Beyer and Leibe 2017).
        BatchHard = "batch-hard",
        /// All whose negative is farther than the positive, by less than the threshold (Schroff et al. 2015).
        SemiHard = "semi-hard",
        /// All.
        All = "all",
    }
}

choices! {
    /// What judges the distance of positive and negative.
    pub enum Dual {
        /// Nothing: the ordinary triplet loss.
        None = "none",
        /// Anchor and positive exchange roles: plus `[d(a,p) - d(p,n) + t]_+`. Our reading of the published loss.
        Exchange = "exchange",
        /// One hinge with the nearer one: `[d(a,p) - min(d(a,n), d(p,n)) + t]_+` (Balntas et al. 2016).
        Swap = "swap",
        /// A bound for the positive pair: plus `[d(a,p) - bound]_+`. Another reading of ours.
        Absolute = "absolute",
    }
}

strategy! {
    /// Triplet losses with a threshold for each slice, multi-threshold metric learning, Yang, Yu et al. 2024; details
    /// are our reading.
    pub struct MultiThreshold as "multi-threshold" {
        /// Which triplets of a slice count. Not used where the objective has a miner.
        mining: Mining = Mining::BatchHard;
        /// What judges the distance of positive and negative, for triplets of `batch-hard` or of a miner.
        dual: Dual = Dual::None;
        /// The bound of `dual = "absolute"`.
        bound: f64 = 0.5, range 0.0..=2.0;
        /// How the losses of a slice's triplets become one number.
        reducer: Reducer = Reducer::mean();
    }
}

/// What a slice's triplets came to. All K, in the order of the slices.
pub(crate) struct PerSlice {
    /// The loss; differentiable.
    losses: Tensor,
    /// The share of triplets above 0, or between the limits of the reducer `threshold`; without gradient.
    active: Tensor,
}

impl Loss for MultiThreshold {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let thresholds = checked(batch)?;
        if self.dual != Dual::None && self.mining != Mining::BatchHard && batch.tuples().is_none() {
            // Over all triplets the exchanged term has the same sum as the first one.
            return Err("`dual` judges triplets that were chosen: it needs `mining = \"batch-hard\"` or a miner".into());
        }
        let slices = Slices::of(batch);
        let found = if thresholds.len() == 1 && self.is_plain() {
            self.whole(batch, thresholds[0])?
        } else {
            self.sliced(batch, &slices, &thresholds)?
        };
        let is_mean = matches!(self.reducer.reduction, Reduction::Mean | Reduction::AverageNonZero);
        let cost_of_a_point = is_mean.then_some(match (self.dual, self.mining) {
            (Dual::Exchange, _) => 2.0,
            // A negative as far as the positive is not semi-hard.
            (_, Mining::SemiHard) if batch.tuples().is_none() => 0.0,
            _ => 1.0,
        });
        Monitor { thresholds: &thresholds, cost_of_a_point, slices: &slices }.watch(&found, progress);
        Ok(found.losses.mean(ALL))
    }
}

impl MultiThreshold {
    /// Whether one slice is what the loss `triplet` computes.
    fn is_plain(&self) -> bool {
        matches!(self.dual, Dual::None | Dual::Swap) && self.mining != Mining::SemiHard
    }

    /// One slice, computed as `triplet` does it with the miner `batch-hard` or another, or with all triplets: a
    /// training with one slice is to the last bit that of a single threshold.
    fn whole(&self, batch: &Batch, margin: f64) -> Result<PerSlice> {
        let triplet = Triplet::euclidean(margin, self.reducer.clone(), self.dual == Dual::Swap);
        let (farness, labels) = (Distance::euclidean().farness(&batch.embeddings()), batch.labels());
        let (same, different) = (same_class(&labels), different_class(&labels));
        let (loss, active, count) = match (batch.tuples(), self.mining) {
            (None, Mining::All) => {
                let (loss, active) = triplet.all(&farness, &same, &different, most_positives(batch), batch)?;
                (loss, active, count(&same, &different))
            }
            (tuples, _) => {
                let mined = tuples.map(|tuples| Triplets::mined(&tuples, batch.size()));
                let chosen = mined.unwrap_or_else(|| Triplets::batch_hard(&farness, &same, &different));
                let losses = triplet.losses(&farness, &chosen);
                let active = self.counts(&losses).sum(ALL).to_float();
                (
                    self.reducer.reduce_listed(&losses, &chosen.anchors, batch)?,
                    active,
                    Tensor::full(&[], losses.size(0) as f64),
                )
            }
        };
        Ok(PerSlice { losses: loss.reshape(&[1]), active: (active / count.at_least(1.0)).reshape(&[1]) })
    }

    fn sliced(&self, batch: &Batch, slices: &Slices, thresholds: &[f64]) -> Result<PerSlice> {
        let labels = batch.labels();
        let (same, different) = (same_class(&labels), different_class(&labels));
        Ok(match (batch.tuples(), self.mining) {
            (Some(tuples), _) => {
                let triplets = Triplets::mined(&tuples, batch.size());
                let of_anchors = match self.reducer.reduction {
                    Reduction::PerAnchor => {
                        Some(triplets.anchors.bincount(batch.size()).to_float().at_least(1.0).reciprocal())
                    }
                    _ => self.class_weights(batch)?,
                };
                let shares = of_anchors.map(|of_anchors| of_anchors.index_select(0, &triplets.anchors));
                let all = Tensor::ones(&triplets.anchors.shape(), Dtype::Float);
                let listed = Listed { weights: all, shares, images: batch.size() };
                self.judge(&slices.sides(&triplets), thresholds, &listed)
            }
            (None, Mining::BatchHard) => {
                let anchors = same.any(1).logical_and(&different.any(1)).to_float();
                let listed = Listed { weights: anchors, shares: self.class_weights(batch)?, images: batch.size() };
                self.judge(&hard::sides(slices, &same, &different), thresholds, &listed)
            }
            (None, mining) => {
                let of_images = self.class_weights(batch)?;
                let all = All {
                    same: &same,
                    different: &different,
                    most_positives: most_positives(batch),
                    of_images: of_images.as_ref(),
                };
                slices.counted(thresholds, &all, mining == Mining::SemiHard, &self.reducer)
            }
        })
    }

    /// What the losses of each image as anchor are multiplied by; none but for the reducer `class-weighted`.
    fn class_weights(&self, batch: &Batch) -> Result<Option<Tensor>> {
        match self.reducer.reduction {
            Reduction::ClassWeighted => self.reducer.image_weights(batch).map(Some),
            _ => Ok(None),
        }
    }

    /// Which losses are active: those above 0, or between the limits of the reducer `threshold`.
    fn counts(&self, losses: &Tensor) -> Tensor {
        let above = losses.gt(self.reducer.low_limit());
        match self.reducer.high_limit() {
            None => above,
            Some(high) => above.logical_and(&losses.lt(high)),
        }
    }

    /// The losses of listed triplets, T in each slice.
    fn judge(&self, sides: &Sides, thresholds: &[f64], listed: &Listed) -> PerSlice {
        let Sides { positive, negative, between } = sides;
        let thresholds = Tensor::from_doubles(thresholds, &[thresholds.len() as i64, 1]);
        let room = positive + &thresholds;
        let hinge = |negative: &Tensor| (&room - negative).relu();
        let first = match self.dual {
            Dual::Swap => hinge(&negative.minimum(between)),
            _ => hinge(negative),
        };
        let reduced = self.reduce(&first, listed);
        let losses = match self.dual {
            Dual::None | Dual::Swap => reduced,
            Dual::Exchange => reduced + self.reduce(&hinge(between), listed),
            Dual::Absolute => reduced + self.reduce(&(positive - self.bound).relu(), listed),
        };
        let weights = &listed.weights;
        let active = (self.counts(&first) * weights).sum(1) / weights.sum(ALL).at_least(1.0);
        PerSlice { losses, active }
    }

    /// Reduces K x T losses to K.
    fn reduce(&self, losses: &Tensor, Listed { weights, shares, images }: &Listed) -> Tensor {
        let sum = || match shares {
            None => (losses * weights).sum(1),
            Some(shares) => (losses * weights * shares).sum(1),
        };
        match self.reducer.reduction {
            Reduction::Sum => sum(),
            Reduction::Divisor => sum() / self.reducer.divisor,
            Reduction::PerAnchor => sum() / *images as f64,
            Reduction::Mean | Reduction::ClassWeighted => sum() / weights.sum(ALL).at_least(1.0),
            Reduction::AverageNonZero | Reduction::Threshold => {
                let counts = self.counts(losses) * weights;
                (losses * &counts).sum(1) / counts.sum(1).at_least(1.0)
            }
        }
    }
}

/// How T listed triplets count, the same in each slice.
struct Listed {
    /// 1 for those that count, else 0.
    weights: Tensor,
    /// What their losses are multiplied by; none for 1.
    shares: Option<Tensor>,
    /// B.
    images: i64,
}

/// All triplets of a batch.
pub(crate) struct All<'a> {
    /// Pairs of one class, B x B.
    same: &'a Tensor,
    /// Pairs of two classes, B x B.
    different: &'a Tensor,
    /// Of the anchor with most positives.
    most_positives: i64,
    /// What the losses of each image as anchor are multiplied by; none for 1.
    of_images: Option<&'a Tensor>,
}

/// The three distances of T triplets in each slice: K x T, differentiable.
pub(crate) struct Sides {
    /// Of anchor and positive.
    positive: Tensor,
    /// Of anchor and negative.
    negative: Tensor,
    /// Of positive and negative.
    between: Tensor,
}

/// The thresholds, one above 0 for each slice.
fn checked(batch: &Batch) -> Result<Vec<f64>> {
    let thresholds = batch.thresholds();
    if thresholds.is_empty() {
        return Err("this loss needs a threshold for each slice: give the objective a `schedule`".into());
    }
    match thresholds.iter().position(|threshold| *threshold <= 0.0) {
        Some(slice) => {
            let value = thresholds[slice];
            Err(format!("the schedule's threshold of slice {slice} is {value}: it must be above 0").into())
        }
        None => Ok(thresholds),
    }
}
