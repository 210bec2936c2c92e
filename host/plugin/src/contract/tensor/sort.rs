//! Sorting, counting and searching.

use tch::Tensor;
use wasmtime::Result;

use super::formulas::refuse;
use super::operation::Handle;
use crate::catch_panic::catch_panic;
use crate::charge;
use crate::host::Host;
use crate::host_fault::fault;

pub(super) fn sort(host: &mut Host, x: Handle, dim: i64, descending: bool) -> Result<(Handle, Handle)> {
    let length = host.size("sort", &x, dim)?;
    let held = host.held("sort", &x)?;
    let along = dim == -1 || dim + 1 == held.tensor.dim() as i64;
    let across = if along { 0 } else { charge::ACROSS };
    let each = charge::SORTED.work(charge::levels(length)) + across;
    let (work, made) = (held.elements.saturating_mul(each), held.elements);
    host.unary_pair("sort", &x, charge::SORTED, work, made, |x| x.f_sort_stable(true, dim, descending))
}

pub(super) fn topk(host: &mut Host, x: Handle, k: i64, dim: i64, largest: bool) -> Result<(Handle, Handle)> {
    let length = host.size("topk", &x, dim)?;
    let (held, k_levels) = (host.held("topk", &x)?, charge::levels(k.unsigned_abs()));
    let work = held.elements.saturating_mul(charge::TOP.work(k_levels) + charge::TOPK);
    let made = (held.elements / length.max(1)).saturating_mul(k.unsigned_abs().min(length));
    host.unary_pair("topk", &x, charge::TOP, work, made, |x| x.f_topk(k, dim, largest, true))
}

pub(super) fn unique(host: &mut Host, x: Handle) -> Result<(Handle, Handle)> {
    let elements = host.held("unique", &x)?.elements;
    let work = elements.saturating_mul(charge::DIFFERENT.work(charge::levels(elements)));
    // libtorch has no derivative of it; without `detach` that would come out in the host's backward pass.
    host.unary_pair("unique", &x, charge::DIFFERENT, work, elements, |x| x.f_detach()?.f_internal_unique(true, true))
}

pub(super) fn bincount(host: &mut Host, x: Handle, size: i64) -> Result<Handle> {
    let made = host.room_for("bincount", &[size], 8)?;
    host.unary("bincount", &x, charge::COUNTED, Some(made), |x| {
        // libtorch makes the result as long as the largest value asks for, however large that is.
        let fits = x.numel() == 0 || x.f_max()?.f_int64_value(&[])? < size;
        refuse(!fits, "a value is not below `size`")?;
        x.f_bincount(None::<&Tensor>, size)
    })
}

pub(super) fn nonzero(host: &mut Host, x: Handle) -> Result<Handle> {
    let held = host.held("nonzero", &x)?;
    let made = held.elements.saturating_mul(held.tensor.dim() as u64);
    host.room(made, 8)?;
    host.unary("nonzero", &x, charge::COUNTED, Some(made), Tensor::f_nonzero)
}

pub(super) fn searchsorted(host: &mut Host, sorted: Handle, values: Handle, right: bool) -> Result<Handle> {
    const NAME: &str = "searchsorted";
    let side = if right { "right" } else { "left" };
    let (sorted, values) = (host.held(NAME, &sorted)?, host.held(NAME, &values)?);
    let columns = sorted.tensor.size().last().map_or(1, |size| size.unsigned_abs());
    let read = sorted.elements.saturating_add(values.elements);
    let work = sorted.elements.saturating_add(values.elements.saturating_mul(charge::search(columns)));
    // The result, and copies of what is strided.
    let size = charge::size(sorted.tensor.kind()).max(charge::size(values.tensor.kind()));
    host.admit(work, values.elements.saturating_mul(8).saturating_add(read.saturating_mul(size)))?;
    // libtorch warns on strided input and copies it silently; a copy that is needed is made here.
    let result = catch_panic(|| {
        let sorted = sorted.tensor.f_contiguous()?;
        values.tensor.f_contiguous()?.f_searchsorted(&sorted, false, right, side, None::<&Tensor>)
    });
    let result = result.map_err(|error| fault(NAME, &[&sorted.tensor, &values.tensor], &error))?;
    host.charge(work)?;
    host.push(NAME, result)
}
