//! Weighted hinges as one operation.

use crate::bridge::ffi;
use crate::{error, owned, pointer};
use tch::{TchError, Tensor};

/// The hinges `[x - limit]_+` (`above`) or `[limit - x]_+` of `x`, ... x C, times `weights`, of the same shape and kind
/// and not negative: their sum over the last dimension, and the sum of the weights whose hinge is above 0, both of
/// shape `...`.
///
/// The first can be differentiated once, by `x`.
///
/// # Errors
/// If the shapes or kinds do not fit.
pub fn hinge_sums(x: &Tensor, weights: &Tensor, limit: f64, above: bool) -> Result<(Tensor, Tensor), TchError> {
    // SAFETY: both pointers are those of tensors that live until the call is over.
    let (x, weights) = unsafe { (&*pointer(x), &*pointer(weights)) };
    let hinges = ffi::hinge_sums(x, weights, limit, above).map_err(error)?;
    Ok((owned(hinges.sums), owned(hinges.active)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn one_pass_gives_what_single_operations_give() {
        // So many that several threads share them.
        let x = Tensor::f_arange(90_000, (tch::Kind::Double, tch::Device::Cpu)).unwrap().f_sin().unwrap();
        let x = x.f_reshape([300, 300]).unwrap();
        let weights = x.f_mul_scalar(3.0).unwrap().f_floor().unwrap().f_abs().unwrap();
        // Of the same values, but not in the order of their places: not for the one pass.
        let strided = x.f_t_copy().unwrap().f_transpose(0, 1).unwrap();
        for above in [true, false] {
            let (sums, active) = hinge_sums(&x, &weights, 0.25, above).unwrap();
            let (other_sums, other_active) = hinge_sums(&strided, &weights, 0.25, above).unwrap();
            assert!(sums.f_allclose(&other_sums, 1e-12, 0.0, false).unwrap(), "{above}");
            assert!(active.f_equal(&other_active).unwrap(), "{above}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let x = Tensor::f_from_slice(&[1.0, f64::NAN]).unwrap();
        let weights = Tensor::f_from_slice(&[1.0, 0.0]).unwrap();
        for above in [true, false] {
            let (sum, _) = hinge_sums(&x, &weights, 0.0, above).unwrap();
            assert!(sum.f_double_value(&[]).unwrap().is_nan());
        }
    }
}
