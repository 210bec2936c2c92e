//! Distances of rows as one operation.

use crate::bridge::ffi;
use crate::{error, owned, pointer};
use tch::{TchError, Tensor};

/// Euclidean distances between the rows of `a`, ... x N x D, and of `b`, ... x M x D, floats of one kind: ... x N x M.
/// The dimensions before the last two broadcast.
///
/// By a matrix product: a squared distance that is not above its rounding error is 0, and so is that of a row to itself
/// where `a` and `b` are one tensor. The gradient at distance 0 is 0. It can be differentiated once.
///
/// # Errors
/// If the shapes or kinds do not fit.
pub fn euclidean_distances(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    // SAFETY: both pointers are those of tensors that live until the call is over.
    let (a, b) = unsafe { (&*pointer(a), &*pointer(b)) };
    Ok(owned(ffi::euclidean_distances(a, b).map_err(error)?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_row_has_the_distance_0_to_itself_whatever_is_rounded() {
        let count = 4096 * 300;
        let numbers: Vec<f32> = (0..count).map(|i| 1.0 + (2.0 * (f64::from(i) * 0.7).sin()).exp() as f32).collect();
        let rows = Tensor::f_from_slice(&numbers).unwrap().f_reshape([4096, 300]).unwrap();
        let itself = euclidean_distances(&rows, &rows).unwrap().f_diagonal(0, -2, -1).unwrap();
        assert_eq!(itself.f_abs().unwrap().f_max().unwrap().f_double_value(&[]).unwrap(), 0.0);
    }

    #[test]
    fn one_pass_gives_what_single_operations_give() {
        let options = (tch::Kind::Double, tch::Device::Cpu);
        let rows = |shape: &[i64], first: f64| {
            let count: i64 = shape.iter().product();
            (Tensor::f_arange(count, options).unwrap() + first).sin().f_reshape(shape).unwrap()
        };
        // So many that several threads share them.
        let (a, b) = (rows(&[3, 200, 4], 0.0), rows(&[200, 4], 7.0));
        let _ = a.f_get(2).unwrap().f_get(1).unwrap().f_fill_(f64::NAN).unwrap();
        let _ = a.f_get(0).unwrap().f_get(3).unwrap().f_copy_(&b.f_get(2).unwrap());
        // Dimensions that broadcast are not for the one pass.
        let single = euclidean_distances(&a, &b).unwrap();
        let one_pass = euclidean_distances(&a, &b.f_expand([3, 200, 4], false).unwrap()).unwrap();
        // Squared, as what is rounded of a square shows most in a small root.
        let [squares, others] = [&single, &one_pass].map(|distances| distances.f_square().unwrap());
        assert!(squares.f_allclose(&others, 0.0, 1e-14, true).unwrap());
        assert_eq!(one_pass.f_double_value(&[0, 3, 2]).unwrap(), 0.0);
        assert!(one_pass.f_double_value(&[2, 1, 0]).unwrap().is_nan());
    }
}
