//! Operations that take several of libtorch, and the checks of shapes that they share.

use std::borrow::Cow;

use tch::{Device, Kind, Scalar, TchError, Tensor};

use crate::dtype::is_float;

/// An error of ours in the form of libtorch's.
pub(crate) fn refuse(wrong: bool, message: &str) -> Result<(), TchError> {
    if wrong { Err(TchError::Torch(message.into())) } else { Ok(()) }
}

/// Whether two shapes broadcast.
pub(super) fn broadcast(a: &[i64], b: &[i64]) -> bool {
    a.iter().rev().zip(b.iter().rev()).all(|(a, b)| a == b || *a == 1 || *b == 1)
}

pub(super) fn norm(x: &Tensor, p: f64, dims: &[i64], keep: bool) -> Result<Tensor, TchError> {
    let rank = x.dim().max(1) as i64;
    refuse(p.is_nan() || p < 0.0, "p is below 0")?;
    refuse(!is_float(x.kind()), "a norm is of floats")?;
    refuse(dims.iter().any(|dim| !(-rank..rank).contains(dim)), "there is no such dimension")?;
    x.f_norm_scalaropt_dim(p, dims, keep)
}

/// A comparison of `inputs`. On the CPU libtorch compares floats `into` floats, which become the mask then, in a third
/// of the time (1024 x 1024: 0.15 ms, 0.45 ms).
pub(super) fn mask(
    inputs: &[&Tensor],
    compare: impl FnOnce() -> Result<Tensor, TchError>,
    into: impl FnOnce(&Tensor) -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let alike = |kind: Kind| is_float(kind) && inputs.iter().all(|x| x.kind() == kind && x.device() == Device::Cpu);
    match inputs.first().map(|x| x.kind()).filter(|&kind| alike(kind)) {
        Some(kind) => into(&Tensor::f_empty([0], (kind, Device::Cpu))?)?.f_to_kind(Kind::Bool),
        None => compare(),
    }
}

pub(super) fn all_dims<'a>(x: &Tensor, dims: &'a [i64]) -> Cow<'a, [i64]> {
    if dims.is_empty() { Cow::Owned((0..x.dim() as i64).collect()) } else { Cow::Borrowed(dims) }
}

/// Square root of what is above 0, and 0 with gradient 0 elsewhere.
pub(super) fn safe_sqrt(x: &Tensor) -> Result<Tensor, TchError> {
    // The inner replacement keeps the infinite derivative at 0 from meeting the outer mask as 0 * inf.
    let masked = x.f_gt(0.0)?.f_logical_not()?;
    x.f_masked_fill(&masked, Scalar::from(1.0))?.f_sqrt()?.f_masked_fill(&masked, Scalar::from(0.0))
}
