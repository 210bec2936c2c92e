//! What is more than one operation of libtorch, and what is said of shapes.

use tch::{Kind, Scalar, TchError, Tensor};

use super::super::host::{broadcast_shape, is_float};

/// An error of ours in the form of libtorch's.
pub(super) fn refuse(wrong: bool, message: &str) -> Result<(), TchError> {
    if wrong { Err(TchError::Torch(message.into())) } else { Ok(()) }
}

/// Whether two shapes broadcast.
pub(super) fn broadcast(a: &[i64], b: &[i64]) -> bool {
    a.iter().rev().zip(b.iter().rev()).all(|(a, b)| a == b || *a == 1 || *b == 1)
}

pub(super) fn norm(x: &Tensor, p: f64, dims: Vec<i64>, keep: bool) -> Result<Tensor, TchError> {
    let rank = x.dim().max(1) as i64;
    refuse(p.is_nan() || p < 0.0, "p is below 0")?;
    refuse(!is_float(x.kind()), "a norm is of floats")?;
    refuse(dims.iter().any(|dim| !(-rank..rank).contains(dim)), "there is no such dimension")?;
    x.f_norm_scalaropt_dim(p, dims, keep)
}

/// The sizes before those of the matrices.
pub(super) fn batches(shape: &[i64]) -> &[i64] {
    shape.get(..shape.len().saturating_sub(2)).unwrap_or_default()
}

pub(super) fn rows(shape: &[i64]) -> i64 {
    shape.iter().rev().nth(1).copied().unwrap_or(1)
}

pub(super) fn all_dims(x: &Tensor, dims: Vec<i64>) -> Vec<i64> {
    if dims.is_empty() { (0..x.dim() as i64).collect() } else { dims }
}

/// Square root of what is above 0, and 0 with gradient 0 elsewhere.
pub(super) fn safe_sqrt(x: &Tensor) -> Result<Tensor, TchError> {
    // The inner replacement keeps the infinite derivative at 0 from meeting the outer mask as 0 * inf.
    let masked = x.f_gt(0.0)?.f_logical_not()?;
    x.f_masked_fill(&masked, Scalar::from(1.0))?.f_sqrt()?.f_masked_fill(&masked, Scalar::from(0.0))
}

/// Euclidean distances between rows, by |a|^2 + |b|^2 - 2ab.
pub(crate) fn distance_matrix(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    let itself = std::ptr::eq(a, b);
    let (left, right) = (a.size(), b.size());
    let batch = broadcast_shape(&[batches(&left), batches(&right)]);
    // The backward pass of the operation does not undo a broadcast.
    let expand = |x: &Tensor, shape: &[i64]| {
        let matrix = shape.get(batches(shape).len()..).unwrap_or_default();
        x.f_expand([batch.as_slice(), matrix].concat(), true)
    };
    let distances = match batch.is_empty() {
        true => Tensor::f_internal_euclidean_dist(a, b)?,
        false => Tensor::f_internal_euclidean_dist(&expand(a, &left)?, &expand(b, &right)?)?,
    };
    // What cancellation leaves of a zero is a few units in the last place of the squares.
    let epsilon = if a.f_kind()? == Kind::Double { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let noise = |x: &Tensor| x.f_detach()?.f_square()?.f_sum_dim_intlist(-1, true, None)?.f_mul_scalar(4.0 * epsilon);
    let a2 = noise(a)?;
    let b2 = if itself { a2.shallow_clone() } else { noise(b)? }.f_transpose(-2, -1)?;
    // The storage of the result, written behind the back of autograd: the backward pass reads there which distances are 0.
    let mut values = distances.f_data()?;
    // 0 where the square is not above the noise, else 1: by arithmetic, as masks take twice as long on the CPU.
    let mut keep = a2.f_neg()?.f_addcmul(&values, &values)?;
    let _ = keep.f_sub_(&b2)?.f_sign_()?.f_relu_()?;
    let _ = values.f_mul_(&keep)?;
    if itself {
        // In long sums it can be more; of a row and itself it is known.
        let _ = values.f_diagonal(0, -2, -1)?.f_fill_(0.0)?;
    }
    Ok(distances)
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
        let itself = distance_matrix(&rows, &rows).unwrap().f_diagonal(0, -2, -1).unwrap();
        assert_eq!(itself.f_abs().unwrap().f_max().unwrap().f_double_value(&[]).unwrap(), 0.0);
    }
}
