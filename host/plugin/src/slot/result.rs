//! Checks that results have the dtype, shape and size that the contract asks for.

use tch::{Device, Tensor};
use wasmtime::Store;
use wasmtime::component::Resource;

use super::Outcome;
use crate::context::Tuples;
use crate::dtype::dtype_name;
use crate::error::{Cause, ResultFault};
use crate::fault::cause;
use crate::handles::StaleHandle;
use crate::host::Host;
use crate::printable::printable_lines;

/// A miner of a small batch may draw a tuple again and again, up to so many.
const DRAWN: u64 = 1 << 20;

/// A result that the strategy may have refused with a text.
pub(super) fn refused<T>(store: &mut Store<Host>, result: wasmtime::Result<Result<T, String>>) -> Outcome<T> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(text)) => match store.data_mut().charge_text(text.len()) {
            Ok(()) if text.trim().is_empty() => Err(Cause::Refused("refused without a reason".into())),
            Ok(()) => Err(Cause::Refused(printable_lines(&text, usize::MAX))),
            Err(fault) => Err(cause(store, &fault.into())),
        },
        Err(fault) => Err(cause(store, &fault)),
    }
}

pub(super) fn take(
    store: &mut Store<Host>,
    result: wasmtime::Result<Result<Resource<Tensor>, String>>,
) -> Outcome<Tensor> {
    let handle = refused(store, result)?;
    Ok(store.data_mut().tensors.take(handle.rep()).map_err(stale)?.tensor)
}

/// A float scalar, finite as far as can be told without waiting for a device, with gradient.
pub(super) fn scalar(
    store: &mut Store<Host>,
    result: wasmtime::Result<Result<Resource<Tensor>, String>>,
) -> Outcome<Tensor> {
    let value = take(store, result)?;
    if value.numel() != 1 {
        return Err(Cause::Result(ResultFault::NotScalar(value.size())));
    }
    differentiable(store.data(), &value)?;
    let value = if value.dim() == 0 { value } else { value.f_reshape([0_i64; 0]).map_err(|error| broken(&error))? };
    // On another device this would wait for it; there the trainer looks once per logging interval.
    if value.device() == Device::Cpu {
        let number = value.f_double_value(&[]).map_err(|error| broken(&error))?;
        if !number.is_finite() {
            return Err(Cause::Result(ResultFault::NotFinite(number)));
        }
    }
    Ok(value)
}

pub(super) fn differentiable(host: &Host, value: &Tensor) -> Outcome<()> {
    float(host, value)?;
    let wanted = host.input.embeddings.as_ref().is_some_and(Tensor::requires_grad);
    if wanted && !value.requires_grad() { Err(Cause::Result(ResultFault::NoGradient)) } else { Ok(()) }
}

/// Whether tuples are as many as the limit and the batch allow.
pub(super) fn countable(host: &Host, tuples: &Tuples, size: u64) -> Outcome<()> {
    let (what, power) = match tuples {
        Tuples::Triplets(_) => ("triplets", 3),
        Tuples::Pairs(_) => ("pairs of a kind", 2),
    };
    let (limit, different) = (host.limits.tuples, size.saturating_pow(power));
    let found = tuples.parts().iter().map(|part| part.numel() as u64).max().unwrap_or_default();
    if found > limit {
        return Err(Cause::Limit { limit: "tuples", value: limit, wanted: Some(found), place: None });
    }
    if found > different.max(DRAWN) {
        return Err(Cause::Result(ResultFault::Tuples { what, found, different }));
    }
    Ok(())
}

fn float(host: &Host, value: &Tensor) -> Outcome<()> {
    let found = value.kind();
    if found == host.float {
        return Ok(());
    }
    Err(Cause::Result(ResultFault::Dtype { found: dtype_name(found).to_owned(), expected: "float" }))
}

pub(super) fn stale(_: StaleHandle) -> Cause {
    Cause::Result(ResultFault::Stale)
}

pub(super) fn broken(error: &tch::TchError) -> Cause {
    Cause::Operation { operation: "result", shapes: "the result".into(), message: error.to_string(), place: None }
}
