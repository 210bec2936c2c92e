//! Buffers as they were before some calls of a network.

use tch::{TchError, Tensor};

/// Copies of buffers, in their order.
pub(super) fn copies(buffers: &[(String, Tensor)]) -> Result<Vec<Tensor>, TchError> {
    buffers.iter().map(|(_, buffer)| buffer.f_detach_copy()).collect()
}

/// Gives buffers the values of copies.
pub(super) fn put_back(buffers: &[(String, Tensor)], kept: &[Tensor]) -> Result<(), TchError> {
    let _no_grad = tch::no_grad_guard();
    buffers.iter().zip(kept).try_for_each(|((_, buffer), kept)| buffer.shallow_clone().f_copy_(kept))
}
