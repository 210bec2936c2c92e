//! Sorting, counting and searching.

use wasmtime::Result;

use super::operation::Handle;
use crate::charge;
use crate::host::Host;
use crate::operation::{Count, Order, Search};

pub(super) fn sort(host: &mut Host, x: Handle, dim: i64, descending: bool) -> Result<(Handle, Handle)> {
    let length = host.size("sort", &x, dim)?;
    let held = host.held("sort", &x)?;
    let along = dim == -1 || dim + 1 == held.tensor.dim() as i64;
    let across = if along { 0 } else { charge::ACROSS };
    let each = charge::SORTED.work(charge::levels(length)) + across;
    let (work, made) = (held.elements.saturating_mul(each), held.elements);
    host.unary_pair(Order::Sort { dim, descending }.into(), &x, charge::SORTED, work, made)
}

pub(super) fn topk(host: &mut Host, x: Handle, k: i64, dim: i64, largest: bool) -> Result<(Handle, Handle)> {
    let length = host.size("topk", &x, dim)?;
    let (held, k_levels) = (host.held("topk", &x)?, charge::levels(k.unsigned_abs()));
    let work = held.elements.saturating_mul(charge::TOP.work(k_levels) + charge::TOPK);
    let made = (held.elements / length.max(1)).saturating_mul(k.unsigned_abs().min(length));
    host.unary_pair(Order::TopK { k, dim, largest }.into(), &x, charge::TOP, work, made)
}

pub(super) fn unique(host: &mut Host, x: Handle) -> Result<(Handle, Handle)> {
    let elements = host.held("unique", &x)?.elements;
    let work = elements.saturating_mul(charge::DIFFERENT.work(charge::levels(elements)));
    host.unary_pair(Order::Unique.into(), &x, charge::DIFFERENT, work, elements)
}

pub(super) fn bincount(host: &mut Host, x: Handle, size: i64) -> Result<Handle> {
    let made = host.room_for("bincount", &[size], 8)?;
    host.unary(Count::Bincount { size }.into(), &x, charge::COUNTED, Some(made))
}

pub(super) fn nonzero(host: &mut Host, x: Handle) -> Result<Handle> {
    let held = host.held("nonzero", &x)?;
    let made = held.elements.saturating_mul(held.tensor.dim() as u64);
    host.room(made, 8)?;
    host.unary(Count::Nonzero.into(), &x, charge::COUNTED, Some(made))
}

pub(super) fn searchsorted(host: &mut Host, sorted: Handle, values: Handle, right: bool) -> Result<Handle> {
    const NAME: &str = "searchsorted";
    let inputs = [&sorted, &values];
    let (sorted, values) = (host.held(NAME, &sorted)?, host.held(NAME, &values)?);
    let columns = sorted.tensor.size().last().map_or(1, |size| size.unsigned_abs());
    let read = sorted.elements.saturating_add(values.elements);
    let work = sorted.elements.saturating_add(values.elements.saturating_mul(charge::search(columns)));
    // The result, and copies of what is strided.
    let size = charge::size(sorted.kind).max(charge::size(values.kind));
    host.admit(work, values.elements.saturating_mul(8).saturating_add(read.saturating_mul(size)))?;
    let op = Search::SearchSorted { right }.into();
    let result = host.run_one(&op, &[&sorted.tensor, &values.tensor])?;
    host.charge(work)?;
    host.push(op, &inputs, result)
}
