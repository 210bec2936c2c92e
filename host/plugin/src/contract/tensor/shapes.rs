//! Other shapes and dtypes of the same elements.

use wasmtime::Result;

use super::operation::Handle;
use crate::bindings::lossmith::plugin::tensor::Dtype;
use crate::charge;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, over};
use crate::operation::{Shape, Split};

pub(super) fn to_dtype(host: &mut Host, x: Handle, dtype: Dtype) -> Result<Handle> {
    const NAME: &str = "to-dtype";
    let kind = host.kind(dtype);
    let held = host.held(NAME, &x)?;
    let (elements, same) = (held.elements, held.kind == kind);
    if same {
        return host.view(Shape::Same.into(), &x);
    }
    host.admit(elements, elements.saturating_mul(charge::size(kind)))?;
    host.unary(Shape::ToDtype { kind }.into(), &x, charge::CAST, None)
}

pub(super) fn reshape(host: &mut Host, x: Handle, shape: Vec<i64>) -> Result<Handle> {
    const NAME: &str = "reshape";
    host.rank(&shape)?;
    let held = host.held(NAME, &x)?;
    let elements = held.elements;
    if held.tensor.is_contiguous() {
        return host.view(Shape::Reshape { shape }.into(), &x);
    }
    // A view where the strides allow it, else a copy.
    host.admit(elements, elements.saturating_mul(charge::size(held.kind)))?;
    let op = Shape::Reshape { shape }.into();
    let result = host.run_one(&op, &[&held.tensor])?;
    let shares = result.data_ptr() == held.tensor.data_ptr();
    host.charge(elements)?;
    if shares { host.push_view(op, &x, result) } else { host.push(op, &[&x], result) }
}

pub(super) fn diag_embed(host: &mut Host, x: Handle) -> Result<Handle> {
    let held = host.held("diag-embed", &x)?;
    let last = held.tensor.size().last().copied().unwrap_or(1);
    let (made, size) = (held.elements.saturating_mul(last.unsigned_abs()), charge::size(held.kind));
    host.room(made, size)?;
    host.unary(Shape::DiagEmbed.into(), &x, charge::SAME, Some(made))
}

pub(super) fn expand(host: &mut Host, x: Handle, shape: Vec<i64>) -> Result<Handle> {
    let sizes: Vec<i64> = shape.iter().map(|&size| size.max(1)).collect();
    let held = host.held("expand", &x)?.elements;
    // A size of -1 keeps the input's, so the product with the input's elements bounds the result.
    if host.room(host.room_for("expand", &sizes, 0)?.saturating_mul(held.max(1)), 0).is_err() {
        host.room_for("expand", &sizes, 0)?;
    }
    host.view(Shape::Expand { shape }.into(), &x)
}

pub(super) fn repeat(host: &mut Host, x: Handle, counts: Vec<i64>) -> Result<Handle> {
    let times = host.room_for("repeat", &counts, 1)?;
    let held = host.held("repeat", &x)?;
    let (made, size) = (held.elements.saturating_mul(times), charge::size(held.kind));
    host.room(made, size)?;
    host.unary(Shape::Repeat { counts }.into(), &x, charge::SAME, Some(made))
}

pub(super) fn slices(host: &mut Host, x: Handle, count: i64, dim: i64) -> Result<Vec<Handle>> {
    let size = host.size("slices", &x, dim)?;
    let whole = &host.held("slices", &x)?.tensor;
    let count = u64::try_from(count).unwrap_or(0);
    if count == 0 || !size.is_multiple_of(count) {
        let message = format!("{size} is not divisible into {count} equal slices");
        return Err(HostFault::Operation { operation: "slices", shapes: describe(&[whole]), message }.into());
    }
    over("handles", host.limits.handles.into(), count.saturating_add(host.tensors.made() as u64))?;
    let op = Split::Slices { count: count as i64, dim }.into();
    let parts = host.run_many(&op, &[whole])?;
    host.push_all(op, &[&x], parts, true)
}
