//! Products of tensors, and what is fused with them.

use lossmith_torch_shim::euclidean_distances;
use tch::{TchError, Tensor};

use super::formulas::{norm, refuse};
use crate::dtype::is_float;

operations! {
    /// Of the matrices of two tensors.
    Product(a: &Tensor, b: &Tensor) -> Tensor {
        Matmul "matmul" => a.f_matmul(b);
        DistanceMatrix "distance-matrix" => euclidean_distances(a, b);
        CosineMatrix "cosine-matrix" => cosines(a, b);
    }
}

operations! {
    /// Of several tensors.
    Einsum(tensors: &[&Tensor]) -> Tensor {
        Einsum { equation: String } "einsum" => Tensor::f_einsum(equation, tensors, None::<&[i64]>);
    }
}

operations! {
    /// Weighted sums over the last dimension.
    Hinges(x: &Tensor, weights: &Tensor) -> (Tensor, Tensor) {
        HingeSums { limit: f64, above: bool } "hinge-sums" => {
            refuse(x.dim() == 0 || x.size() != weights.size(), "there is not a weight for each element of rows")?;
            refuse(!is_float(x.kind()) || x.kind() != weights.kind(), "values and weights are floats")?;
            refuse(weights.requires_grad(), "the weights have a gradient: `detach` them")?;
            lossmith_torch_shim::hinge_sums(x, weights, *limit, *above)
        };
    }
}

fn cosines(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    let unit = |x: &Tensor| x.f_div(&norm(x, 2.0, &[-1], true)?.f_clamp_min(1e-12)?);
    let left = unit(a)?;
    // A matrix with itself is the usual case.
    let right = if std::ptr::eq(a, b) { left.shallow_clone() } else { unit(b)? };
    left.f_matmul(&right.f_transpose(-2, -1)?)
}
