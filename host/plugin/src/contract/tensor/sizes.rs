//! Sizes of shapes.

/// The sizes before those of the matrices.
pub(super) fn batches(shape: &[i64]) -> &[i64] {
    shape.get(..shape.len().saturating_sub(2)).unwrap_or_default()
}

pub(super) fn rows(shape: &[i64]) -> i64 {
    shape.iter().rev().nth(1).copied().unwrap_or(1)
}
