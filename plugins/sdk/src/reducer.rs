use crate::{ALL, Tensor, choices};

choices! {
    /// How losses of pairs, triplets or images become one number.
    pub enum Reducer {
        /// The mean over all.
        Mean = "mean",
        /// The mean over those above 0; 0 when there are none.
        AverageNonZero = "average-non-zero",
    }
}

impl Reducer {
    /// Reduces `losses`, of any shape. No losses give 0.
    pub fn reduce(self, losses: &Tensor) -> Tensor {
        match self {
            Self::Mean => losses.sum(ALL) / losses.shape().iter().product::<i64>().max(1) as f64,
            Self::AverageNonZero => losses.relu().sum(ALL) / losses.gt(0.0).sum(ALL).to_float().at_least(1.0),
        }
    }

    /// Reduces `losses` of which each counts as often as the element of `weights` says, a float tensor of the same
    /// shape (see [`PairWeights`](crate::PairWeights)).
    pub fn reduce_weighted(self, losses: &Tensor, weights: &Tensor) -> Tensor {
        let count = match self {
            Self::Mean => weights.sum(ALL),
            Self::AverageNonZero => (weights * losses.gt(0.0)).sum(ALL),
        };
        let losses = match self {
            Self::Mean => losses * weights,
            Self::AverageNonZero => losses.relu() * weights,
        };
        losses.sum(ALL) / count.at_least(1.0)
    }
}
