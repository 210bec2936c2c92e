//! Reductions, and what is computed along one dimension.

use tch::Tensor;

use super::formulas::{all_dims, norm};

operations! {
    /// Over some dimensions, over all where `dims` is empty; with `keep` these stay with size 1.
    Reduction(x: &Tensor) -> Tensor {
        Sum { dims: Vec<i64>, keep: bool } "sum" => if dims.is_empty() && !keep {
            x.f_sum(None)
        } else {
            x.f_sum_dim_intlist(dims.as_slice(), *keep, None)
        };
        Mean { dims: Vec<i64>, keep: bool } "mean" => x.f_mean_dim(dims.as_slice(), *keep, None);
        // libtorch divides by the wrong count in the gradient over an empty list of dimensions.
        Variance { dims: Vec<i64>, correction: i64, keep: bool } "variance" =>
            x.f_var_correction(&*all_dims(x, dims), *correction, *keep);
        Amax { dims: Vec<i64>, keep: bool } "amax" => x.f_amax(dims, *keep);
        Amin { dims: Vec<i64>, keep: bool } "amin" => x.f_amin(dims, *keep);
        Any { dims: Vec<i64>, keep: bool } "any" => x.f_any_dims(&*all_dims(x, dims), *keep);
        All { dims: Vec<i64>, keep: bool } "all" => x.f_all_dims(&*all_dims(x, dims), *keep);
        LogSumExp { dims: Vec<i64>, keep: bool } "logsumexp" => x.f_logsumexp(&*all_dims(x, dims), *keep);
        Norm { p: f64, dims: Vec<i64>, keep: bool } "norm" => norm(x, *p, dims, *keep);
        ArgMax { dim: i64, keep: bool } "argmax" => x.f_argmax(*dim, *keep);
        ArgMin { dim: i64, keep: bool } "argmin" => x.f_argmin(*dim, *keep);
    }
}

operations! {
    /// Along one dimension; the result has the shape of the tensor.
    Along(x: &Tensor) -> Tensor {
        Softmax { dim: i64 } "softmax" => x.f_softmax(*dim, None);
        LogSoftmax { dim: i64 } "log-softmax" => x.f_log_softmax(*dim, None);
        CumSum { dim: i64 } "cumsum" => x.f_cumsum(*dim, None);
        Normalize { p: f64, dim: i64 } "normalize" => x.f_div(&norm(x, *p, &[*dim], true)?.f_clamp_min(1e-12)?);
    }
}
