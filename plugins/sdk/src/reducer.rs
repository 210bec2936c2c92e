//! How losses of pairs, triplets or images become one number.

use std::ops::RangeBounds;

use crate::bindings::exports::lossmith::plugin::describe;
use crate::{ALL, Batch, Dtype, Parameter, Params, Result, Tensor, choices};

choices! {
    /// The formula of a [`Reducer`].
    pub enum Reduction {
        /// The mean over all.
        Mean = "mean",
        /// The sum.
        Sum = "sum",
        /// The mean over those above 0; 0 when there are none.
        AverageNonZero = "average-non-zero",
        /// The mean over those between two limits; 0 when there are none.
        Threshold = "threshold",
        /// The mean of each anchor's losses, and of these the mean over all images of the batch.
        PerAnchor = "per-anchor",
        /// The mean, where each loss is multiplied by the weight of its anchor's class.
        ClassWeighted = "class-weighted",
        /// The sum divided by a number.
        Divisor = "divisor",
    }
}

/// What a distance or a cosine costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hinge {
    /// What it is above a limit: `[x - limit]_+`.
    Above(f64),
    /// What it is below a limit: `[limit - x]_+`.
    Below(f64),
}

impl Hinge {
    /// What the hinge makes 0 where it is below: `x - limit` or `limit - x`.
    pub fn excess(self, values: &Tensor) -> Tensor {
        match self {
            Self::Above(limit) => values - limit,
            Self::Below(limit) => limit - values,
        }
    }
}

/// How losses become one number: the parameters `reducer`, `reducer-low`, `reducer-high`, `class-weights` and `divisor`
/// of a strategy.
///
/// `reducer: Reducer = Reducer::mean();` in [`strategy!`](crate::strategy!) declares all five.
#[derive(Clone, Debug, PartialEq)]
pub struct Reducer {
    /// The formula.
    pub reduction: Reduction,
    /// Losses not above this do not count for `threshold`.
    pub low: f64,
    /// Losses not below this do not count for `threshold`.
    pub high: f64,
    /// For `class-weighted`: the weight of each class, in the order of the classes.
    pub class_weights: Vec<f64>,
    /// What `divisor` divides the sum by.
    pub divisor: f64,
}

impl Reducer {
    /// A formula with the defaults of its numbers.
    pub fn new(reduction: Reduction) -> Self {
        Self { reduction, low: 0.0, high: 1e30, class_weights: Vec::new(), divisor: 1.0 }
    }

    /// The mean over all.
    pub fn mean() -> Self {
        Self::new(Reduction::Mean)
    }

    /// The mean over those above 0.
    pub fn average_non_zero() -> Self {
        Self::new(Reduction::AverageNonZero)
    }

    /// Reduces `losses`, N or N x M, whose rows belong to the images of the batch in their order (so N is B). Each
    /// counts as often as the element of `weights` of the same shape says (see [`PairWeights`](crate::PairWeights)).
    /// Nothing that counts gives 0. Error: `class-weighted` has not a weight for each class.
    pub fn reduce(&self, losses: &Tensor, weights: &Tensor, batch: &Batch) -> Result<Tensor> {
        Ok(match self.reduction {
            Reduction::Mean => (losses * weights).sum(ALL) / weights.sum(ALL).at_least(1.0),
            Reduction::Sum => (losses * weights).sum(ALL),
            Reduction::Divisor => (losses * weights).sum(ALL) / self.divisor,
            Reduction::AverageNonZero => {
                // As floats: on the CPU a mask takes four times as long, and so does a product with it.
                let active = weights * losses.detach().sign().relu();
                (losses * &active).sum(ALL) / active.sum(ALL).at_least(1.0)
            }
            Reduction::Threshold => {
                let weights = weights * losses.gt(self.low).logical_and(&losses.lt(self.high));
                (losses * &weights).sum(ALL) / weights.sum(ALL).at_least(1.0)
            }
            Reduction::PerAnchor if losses.shape().len() == 1 => {
                (losses * weights).sum(ALL) / batch.size().max(1) as f64
            }
            Reduction::PerAnchor => {
                let of_anchor = (losses * weights).sum(1) / weights.sum(1).at_least(1.0);
                of_anchor.sum(ALL) / batch.size().max(1) as f64
            }
            Reduction::ClassWeighted => {
                let of_image = self.image_weights(batch)?;
                let of_image = if losses.shape().len() == 1 { of_image } else { of_image.unsqueeze(1) };
                (losses * weights * of_image).sum(ALL) / weights.sum(ALL).at_least(1.0)
            }
        })
    }

    /// As [`reduce`](Self::reduce) of what each element of `values` costs by `hinge`.
    pub fn reduce_hinges(&self, values: &Tensor, hinge: Hinge, weights: &Tensor, batch: &Batch) -> Result<Tensor> {
        if self.reduction != Reduction::AverageNonZero {
            return self.reduce(&hinge.excess(values).relu(), weights, batch);
        }
        let (limit, above) = match hinge {
            Hinge::Above(limit) => (limit, true),
            Hinge::Below(limit) => (limit, false),
        };
        let (sums, active) = values.hinge_sums(weights, limit, above);
        Ok(sums.sum(ALL) / active.sum(ALL).at_least(1.0))
    }

    /// Reduces `losses`, T, of triplets or pairs with these `anchors`, T, positions in the batch. Error: as
    /// [`reduce`](Self::reduce).
    pub fn reduce_listed(&self, losses: &Tensor, anchors: &Tensor, batch: &Batch) -> Result<Tensor> {
        let count = losses.size(0).max(1) as f64;
        Ok(match self.reduction {
            Reduction::Mean => losses.sum(ALL) / count,
            Reduction::PerAnchor => {
                let zeros = Tensor::zeros(&[batch.size()], Dtype::Float);
                let counts = anchors.bincount(batch.size()).to_float().at_least(1.0);
                (zeros.index_add(0, anchors, losses) / counts).sum(ALL) / batch.size().max(1) as f64
            }
            Reduction::ClassWeighted => (losses * self.image_weights(batch)?.index_select(0, anchors)).sum(ALL) / count,
            _ => self.reduce(losses, &losses.ones_like(), batch)?,
        })
    }

    /// Losses not above this do not count; 0 but for `threshold`.
    pub fn low_limit(&self) -> f64 {
        if self.reduction == Reduction::Threshold { self.low } else { 0.0 }
    }

    /// Losses not below this do not count, for `threshold`.
    pub fn high_limit(&self) -> Option<f64> {
        (self.reduction == Reduction::Threshold).then_some(self.high)
    }

    /// The weight of each image's class, B. Error: there is not a weight for each class.
    pub fn image_weights(&self, batch: &Batch) -> Result<Tensor> {
        let (given, wanted) = (self.class_weights.len(), batch.class_count());
        if given as i64 != wanted {
            return Err(format!(
                "the reducer `class-weighted` needs a weight for each of the {wanted} classes in `class-weights`; \
                 there are {given}"
            )
            .into());
        }
        Ok(Tensor::from_doubles(&self.class_weights, &[wanted]).index_select(0, &batch.labels()))
    }
}

impl Parameter for Reducer {
    type Element = ();

    fn describe(name: &str, summary: &str, default: Self, range: impl RangeBounds<()>) -> Vec<describe::Parameter> {
        let mut all = Reduction::describe(name, summary, default.reduction, range);
        let low = "For the reducer threshold: losses that are not above this do not count.";
        all.extend(f64::describe("reducer-low", low, default.low, 0.0..));
        let high = "For the reducer threshold: losses that are not below this do not count.";
        all.extend(f64::describe("reducer-high", high, default.high, ..));
        let weights = "For the reducer class-weighted: a weight for each class, in the order of the classes.";
        all.extend(Vec::<f64>::describe("class-weights", weights, default.class_weights, 0.0..));
        let divisor = "For the reducer divisor: what the sum is divided by.";
        all.extend(f64::describe("divisor", divisor, default.divisor, crate::above(0.0)));
        all
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(Self {
            reduction: Reduction::read(params, name)?,
            low: f64::read(params, "reducer-low")?,
            high: f64::read(params, "reducer-high")?,
            class_weights: Vec::read(params, "class-weights")?,
            divisor: f64::read(params, "divisor")?,
        })
    }
}
