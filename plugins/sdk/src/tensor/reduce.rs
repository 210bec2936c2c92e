//! Reductions: over the dimensions `1`, `[0, 1]` or `ALL`, which go away, or stay with size 1 with `keep(1)`.

use super::{Dims, Tensor};

macro_rules! reductions {
    ($($(#[doc = $about:literal])+ $method:ident;)*) => {
        impl Tensor {
            $(
                $(#[doc = $about])+
                pub fn $method(&self, dims: impl Dims) -> Tensor {
                    Tensor(self.0.$method(dims.dims(), dims.keep()))
                }
            )*
        }
    };
}

reductions! {
    /// Sum. A mask is counted as integers.
    sum;
    /// Mean.
    mean;
    /// Largest value; at a tie the gradient is shared.
    amax;
    /// Smallest value; at a tie the gradient is shared.
    amin;
    /// Whether any element is true (not differentiable).
    any;
    /// Whether all elements are true (not differentiable).
    all;
    /// `log(sum(exp(self)))`, without overflow. Over nothing but `-inf` the gradient is NaN: see
    /// [`logsumexp_where`](Self::logsumexp_where).
    logsumexp;
}

/// What `logsumexp_where` puts where the mask is false: far below every logarithm that a float holds, and finite, so
/// that a row without a true element has a gradient of 0 instead of NaN.
const NOTHING: f64 = -1e30;

impl Tensor {
    /// Variance with divisor `n - correction`.
    pub fn variance(&self, dims: impl Dims, correction: i64) -> Tensor {
        Tensor(self.0.variance(dims.dims(), correction, dims.keep()))
    }

    /// `p`-norm, `p` at least 0; the gradient of the 2-norm at 0 is 0.
    pub fn norm(&self, p: f64, dims: impl Dims) -> Tensor {
        Tensor(self.0.norm(p, dims.dims(), dims.keep()))
    }

    /// `log(sum(exp(self)))` over the elements where `mask` is true, without overflow. Over nothing it is about -1e30,
    /// which `exp`, `sigmoid` and [`log1p_exp`](Self::log1p_exp) turn into 0, with gradient 0. An infinite sum
    /// gives NaN.
    pub fn logsumexp_where(&self, mask: &Tensor, dims: impl Dims) -> Tensor {
        let filled = self.masked_fill(&mask.logical_not(), NOTHING);
        let &[dim] = dims.dims() else { return filled.logsumexp(dims) };
        // The same sum by the softmax of the largest element: libtorch's `exp` is slow on the CPU where it gives 0.
        let (largest, place) = filled.max(dim);
        let share = filled.log_softmax(dim).gather(dim, &place.unsqueeze(dim));
        if dims.keep() { largest.unsqueeze(dim) - share } else { largest - share.squeeze(dim) }
    }

    /// Largest value along `dim`, which goes away, and its index (not differentiable).
    pub fn max(&self, dim: i64) -> (Tensor, Tensor) {
        pair(self.0.max(dim, false))
    }

    /// Smallest value along `dim`, which goes away, and its index (not differentiable).
    pub fn min(&self, dim: i64) -> (Tensor, Tensor) {
        pair(self.0.min(dim, false))
    }

    /// Index of the largest value along `dim`, which goes away (not differentiable).
    pub fn argmax(&self, dim: i64) -> Tensor {
        Tensor(self.0.argmax(dim, false))
    }

    /// Index of the smallest value along `dim`, which goes away (not differentiable).
    pub fn argmin(&self, dim: i64) -> Tensor {
        Tensor(self.0.argmin(dim, false))
    }

    /// Sorted values along `dim` and where they were (not differentiable). Equal values keep their order.
    pub fn sort(&self, dim: i64, descending: bool) -> (Tensor, Tensor) {
        pair(self.0.sort(dim, descending))
    }

    /// The `k` largest (or smallest) values along `dim`, in order, and where they were (not differentiable).
    pub fn topk(&self, k: i64, dim: i64, largest: bool) -> (Tensor, Tensor) {
        pair(self.0.topk(k, dim, largest))
    }

    /// For each value the position in the sorted `self` (last dimension) where it would be inserted: before equal
    /// elements, or behind them with `right`. Not differentiable.
    pub fn searchsorted(&self, values: &Tensor, right: bool) -> Tensor {
        Tensor(self.0.searchsorted(&values.0, right))
    }

    /// How often each of 0, 1, ..., `size - 1` stands in this vector of integers. Not differentiable.
    pub fn bincount(&self, size: i64) -> Tensor {
        Tensor(self.0.bincount(size))
    }

    /// Sorted different elements, and for each element of `self` its position among them. Not differentiable.
    pub fn unique(&self) -> (Tensor, Tensor) {
        pair(self.0.unique())
    }
}

fn pair((a, b): (super::host::Tensor, super::host::Tensor)) -> (Tensor, Tensor) {
    (Tensor(a), Tensor(b))
}
