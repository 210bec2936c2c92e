//! The slices of a batch as one tensor.

use lossmith_sdk::prelude::*;

/// The K slices of B images, each normalised by itself: B x K x D/K.
pub(crate) fn normalized(batch: &Batch) -> Tensor {
    let (size, count) = (batch.size(), batch.slice_count());
    batch.embeddings().reshape(&[size, count, batch.dimension() / count]).normalize(2.0, 2)
}

/// Slices of one image behind each other: B x K x D/K to B x D.
pub(crate) fn joined(slices: &Tensor) -> Tensor {
    slices.reshape(&[slices.size(0), slices.size(1) * slices.size(2)])
}
