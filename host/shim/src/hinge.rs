//! Weighted hinges as one operation.

use crate::bridge::ffi;
use crate::{error, owned, pointer};
use tch::{TchError, Tensor};

/// The hinges `[x - limit]_+` (`above`) or `[limit - x]_+` of `x`, ... x C, times `weights`, of the same shape and kind and not
/// negative: their sum over the last dimension, and the sum of the weights whose hinge is above 0, both of shape `...`.
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
    fn what_is_not_a_number_stays_so() {
        let x = Tensor::f_from_slice(&[1.0, f64::NAN]).unwrap();
        let weights = Tensor::f_from_slice(&[1.0, 0.0]).unwrap();
        for above in [true, false] {
            let (sum, _) = hinge_sums(&x, &weights, 0.0, above).unwrap();
            assert!(sum.f_double_value(&[]).unwrap().is_nan());
        }
    }
}
