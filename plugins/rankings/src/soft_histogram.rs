//! Places of values between the evenly spaced nodes of a histogram.

use lossmith_sdk::{Dtype, Tensor};

/// Where values are: each is shared by two neighbouring nodes, the nearer one gets more.
pub(crate) struct Places {
    /// Number of the lower node of each value, integer.
    pub(crate) lower: Tensor,
    /// The share of the lower node, from 0 to 1; differentiable.
    pub(crate) of_lower: Tensor,
    /// The share of the node above it: the rest of 1.
    pub(crate) of_upper: Tensor,
}

/// Of `values` between nodes 0, 1, ..., `bins`, in units of their distance. What is outside belongs to the first or the
/// last node.
pub(crate) fn places(values: &Tensor, bins: i64) -> Places {
    let values = values.clamp(0.0, bins as f64);
    let lower = values.detach().floor().at_most((bins - 1) as f64);
    let of_upper = values - &lower;
    Places { lower: lower.to_dtype(Dtype::Integer), of_lower: 1.0 - &of_upper, of_upper }
}
