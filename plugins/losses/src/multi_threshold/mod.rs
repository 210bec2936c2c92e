//! A triplet loss with a threshold of its own for each slice of the embedding; the mean over the slices is the loss.
//!
//! The embedding is K slices of D/K dimensions, each L2-normalised by itself, with Euclidean distances d. Slice k has the threshold
//! t_k of the objective's schedule. For a triplet (a, p, n) its loss is `[d(a,p) - d(a,n) + t_k]_+`, plus, with `dual`, one
//! of three readings of the published "dual triplet loss", whose formula is not public: the ordinary hinge judges d(a,n) alone,
//! and the pair (p, n) of the same three images goes unjudged.
//!
//! All slices are computed together. Without a miner each slice chooses its triplets by its own distances; what a miner of the
//! objective found on the whole embedding is shared by all slices.

mod hard;
mod monitor;
mod slices;

use lossmith_sdk::prelude::*;
use lossmith_sdk::{Triplets, different_class, same_class};

use crate::triplet::{Triplet, count};
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

choices! {
    /// Which triplets of a slice are averaged over.
    pub enum Average {
        /// All.
        All = "mean",
        /// Those with a loss above 0.
        NonZero = "average-non-zero",
    }
}

strategy! {
    /// Triplet losses with a threshold for each slice, multi-threshold metric learning, Yang, Yu et al. 2024; details are our reading.
    pub struct MultiThreshold as "multi-threshold" {
        /// Which triplets of a slice count. Not used where the objective has a miner.
        mining: Mining = Mining::BatchHard;
        /// What judges the distance of positive and negative, for triplets of `batch-hard` or of a miner.
        dual: Dual = Dual::None;
        /// The bound of `dual = "absolute"`.
        bound: f64 = 0.5, range 0.0..=2.0;
        /// How the losses of a slice's triplets become one number.
        reducer: Average = Average::All;
    }
}

/// What a slice's triplets came to. All K, in the order of the slices.
pub(crate) struct PerSlice {
    /// The loss; differentiable.
    losses: Tensor,
    /// The share of triplets above 0, without gradient.
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
            self.sliced(batch, &slices, &thresholds)
        };
        let cost_of_a_point = match (self.dual, self.mining) {
            (Dual::Exchange, _) => 2.0,
            // A negative as far as the positive is not semi-hard.
            (_, Mining::SemiHard) if batch.tuples().is_none() => 0.0,
            _ => 1.0,
        };
        Monitor { thresholds: &thresholds, cost_of_a_point, slices: &slices }.watch(&found, progress);
        Ok(found.losses.mean(ALL))
    }
}

impl MultiThreshold {
    /// Whether one slice is what the loss `triplet` computes.
    fn is_plain(&self) -> bool {
        matches!(self.dual, Dual::None | Dual::Swap) && self.mining != Mining::SemiHard
    }

    /// One slice, computed as `triplet` does it with the miner `batch-hard` or another, or with all triplets: a training with one
    /// slice is to the last bit that of a single threshold.
    fn whole(&self, batch: &Batch, margin: f64) -> Result<PerSlice> {
        let reducer = match self.reducer {
            Average::All => Reducer::mean(),
            Average::NonZero => Reducer::average_non_zero(),
        };
        let triplet = Triplet::euclidean(margin, reducer.clone(), self.dual == Dual::Swap);
        let (farness, labels) = (Distance::euclidean().farness(&batch.embeddings()), batch.labels());
        let (same, different) = (same_class(&labels), different_class(&labels));
        let (loss, active, count) = match (batch.tuples(), self.mining) {
            (None, Mining::All) => {
                let (loss, active) = triplet.all(&farness, &same, &different, batch)?;
                (loss, active, count(&same, &different))
            }
            (tuples, _) => {
                let mined = tuples.map(|tuples| Triplets::mined(&tuples, batch.size()));
                let chosen = mined.unwrap_or_else(|| Triplets::batch_hard(&farness, &same, &different));
                let losses = triplet.losses(&farness, &chosen);
                let active = losses.gt(0.0).sum(ALL).to_float();
                (
                    reducer.reduce_listed(&losses, &chosen.anchors, batch)?,
                    active,
                    Tensor::full(&[], losses.size(0) as f64),
                )
            }
        };
        Ok(PerSlice { losses: loss.reshape(&[1]), active: (active / count.at_least(1.0)).reshape(&[1]) })
    }

    fn sliced(&self, batch: &Batch, slices: &Slices, thresholds: &[f64]) -> PerSlice {
        let labels = batch.labels();
        let (same, different) = (same_class(&labels), different_class(&labels));
        match (batch.tuples(), self.mining) {
            (Some(tuples), _) => {
                let sides = slices.sides(&Triplets::mined(&tuples, batch.size()));
                self.judge(&sides, thresholds, &Tensor::ones(&sides.positive.shape()[1..], Dtype::Float))
            }
            (None, Mining::BatchHard) => {
                let anchors = same.any(1).logical_and(&different.any(1)).to_float();
                self.judge(&hard::sides(slices, &same, &different), thresholds, &anchors)
            }
            (None, mining) => slices.counted(thresholds, &same, &different, mining == Mining::SemiHard, self.reducer),
        }
    }

    /// The losses of listed triplets, T in each slice, of which those with a weight of 1 (else 0) count.
    fn judge(&self, sides: &Sides, thresholds: &[f64], weights: &Tensor) -> PerSlice {
        let Sides { positive, negative, between } = sides;
        let thresholds = Tensor::from_doubles(thresholds, &[thresholds.len() as i64, 1]);
        let room = positive + &thresholds;
        let hinge = |negative: &Tensor| (&room - negative).relu();
        let first = match self.dual {
            Dual::Swap => hinge(&negative.minimum(between)),
            _ => hinge(negative),
        };
        let reduced = self.reduce(&first, weights);
        let losses = match self.dual {
            Dual::None | Dual::Swap => reduced,
            Dual::Exchange => reduced + self.reduce(&hinge(between), weights),
            Dual::Absolute => reduced + self.reduce(&(positive - self.bound).relu(), weights),
        };
        let active = (first.gt(0.0) * weights).sum(1) / weights.sum(ALL).at_least(1.0);
        PerSlice { losses, active }
    }

    /// Reduces K x T losses of which those with a weight of 1 count, to K.
    fn reduce(&self, losses: &Tensor, weights: &Tensor) -> Tensor {
        let count = match self.reducer {
            Average::All => weights.sum(ALL),
            Average::NonZero => (losses.gt(0.0) * weights).sum(1),
        };
        (losses * weights).sum(1) / count.at_least(1.0)
    }
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
            Err(format!("the threshold of slice {slice} is {}: it must be above 0", thresholds[slice]).into())
        }
        None => Ok(thresholds),
    }
}
