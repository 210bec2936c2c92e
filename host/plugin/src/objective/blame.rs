//! Blames a strategy for what shows only after its call: a sum that is not finite, a backward pass that fails.

use lossmith_torch_shim::is_free_to_read;
use tch::{TchError, Tensor};

use super::placed_slot::Placed;
use crate::context::PairLosses;
use crate::error::{Cause, PluginError, ResultFault};
use crate::host_fault::brief;

/// The fault of a transfer whose pair losses have no finite sum, or none.
pub(super) fn of_pair_losses(transfer: &Placed, pairs: &PairLosses) -> Result<Option<PluginError>, TchError> {
    let mut sums = vec![pairs.total()?];
    for part in pairs.parts.values() {
        sums.push(part.f_sum(part.kind())?);
    }
    for sum in sums {
        if let Some(number) = not_finite(&sum)? {
            return Ok(Some(transfer.slot.blame(Cause::Result(ResultFault::NotFinite(number)))));
        }
    }
    Ok(None)
}

/// The fault of the transfer, or of the balance, through which a measurement of the two halves found no way back.
pub(super) fn of_halves(
    transfer: &Placed,
    balance: Option<&Placed>,
    pairs: &PairLosses,
    embeddings: &Tensor,
    error: &TchError,
) -> PluginError {
    let through = |total: Tensor| Tensor::f_run_backward(&[total], &[embeddings], true, false);
    match (pairs.total().and_then(through), balance) {
        (Ok(_), Some(balance)) => backward(balance, error),
        (Ok(_), None) | (Err(_), _) => backward(transfer, error),
    }
}

/// A scalar that is not finite. On another device than the CPU nothing looks, as that would wait for it.
pub(super) fn not_finite(scalar: &Tensor) -> Result<Option<f64>, TchError> {
    if !is_free_to_read(scalar) {
        return Ok(None);
    }
    Ok(Some(scalar.f_double_value(&[])?).filter(|number| !number.is_finite()))
}

/// The fault of a strategy through whose result no backward pass goes.
pub(super) fn backward(placed: &Placed, error: &TchError) -> PluginError {
    let shapes = "the graph of its result".to_owned();
    placed.slot.blame(Cause::Operation { operation: "backward", shapes, message: brief(error), place: None })
}
