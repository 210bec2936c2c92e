//! Shapes and linear algebra.

use super::{Tensor, host, methods};

methods! {
    /// The same elements in another shape; one size may be -1.
    reshape(shape: &[i64]);
    /// Removes dimension `dim` of size 1; any other is left as it is.
    squeeze(dim: i64);
    /// Inserts a dimension of size 1 before `dim`.
    unsqueeze(dim: i64);
    /// Repeats dimensions of size 1 without a copy; -1 keeps a size.
    expand(shape: &[i64]);
    /// Repeats the whole tensor along each dimension.
    repeat(counts: &[i64]);
    /// Swaps two dimensions.
    transpose(dim0: i64, dim1: i64);
    /// All dimensions in a new order.
    permute(dims: &[i64]);
    /// Diagonal of the last two dimensions.
    diagonal();
    /// Matrices with the last dimension of `self` on the diagonal, 0 elsewhere.
    diag_embed();
    /// Keeps what is on or below diagonal `k` of the last two dimensions, 0 elsewhere.
    tril(k: i64);
    /// Keeps what is on or above diagonal `k` of the last two dimensions, 0 elsewhere.
    triu(k: i64);
}

impl Tensor {
    /// Sizes of the dimensions; empty for a scalar.
    pub fn shape(&self) -> Vec<i64> {
        self.0.shape()
    }

    /// Size of dimension `dim`, counted from 0. Panics when there is none.
    pub fn size(&self, dim: usize) -> i64 {
        self.shape()[dim]
    }

    /// The last two dimensions swapped: the transpose of a matrix.
    pub fn t(&self) -> Tensor {
        self.transpose(-2, -1)
    }

    /// Products of `tensors` with each dimension named by a letter, summed over the letters that are not in the result,
    /// from the left to the right: `Tensor::einsum("bi,ij,bj->b", &[&x, &w, &y])`.
    pub fn einsum(equation: &str, tensors: &[&Tensor]) -> Tensor {
        let tensors: Vec<_> = tensors.iter().map(|tensor| &tensor.0).collect();
        Tensor(host::Tensor::einsum(equation, &tensors))
    }

    /// Matrix product of the last two dimensions; the dimensions before broadcast.
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.matmul(&other.0))
    }

    /// Euclidean distances between the rows of `self` (... x N x D) and of `other` (... x M x D): ... x N x M. The
    /// gradient at distance 0 is 0.
    pub fn distance_matrix(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.distance_matrix(&other.0))
    }

    /// Cosines between the rows of `self` (... x N x D) and of `other` (... x M x D): ... x N x M. Norms are floored at
    /// 1e-12.
    pub fn cosine_matrix(&self, other: &Tensor) -> Tensor {
        Tensor(self.0.cosine_matrix(&other.0))
    }

    /// With h the hinges `[self - limit]_+` (`above`) or `[limit - self]_+` of `self` (... x C, floats): the sums of
    /// `weights * h` over C, and the sums of the weights where h is above 0 (not differentiable), both of shape `...`.
    /// `weights` has the shape of `self`, nothing below 0 and no gradient. See [`Hinge`](crate::Hinge) and
    /// [`Reducer`](crate::Reducer).
    pub fn hinge_sums(&self, weights: &Tensor, limit: f64, above: bool) -> (Tensor, Tensor) {
        let (sums, active) = self.0.hinge_sums(&weights.0, limit, above);
        (Tensor(sums), Tensor(active))
    }

    /// Joins along an existing dimension.
    pub fn cat(tensors: &[&Tensor], dim: i64) -> Tensor {
        let tensors: Vec<_> = tensors.iter().map(|tensor| &tensor.0).collect();
        Tensor(host::Tensor::cat(&tensors, dim))
    }

    /// Joins along a new dimension.
    pub fn stack(tensors: &[&Tensor], dim: i64) -> Tensor {
        let tensors: Vec<_> = tensors.iter().map(|tensor| &tensor.0).collect();
        Tensor(host::Tensor::stack(&tensors, dim))
    }
}
