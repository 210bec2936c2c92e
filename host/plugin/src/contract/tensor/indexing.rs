//! Indexing: elements chosen by an index or a mask.

use tch::Kind;
use wasmtime::Result;

use super::operation::{Handle, broadcast_elements};
use crate::charge;
use crate::host::Host;
use crate::host_fault::{HostFault, describe};
use crate::operation::{Binary, Choice, Classes, Lookup, Places};

pub(super) fn where_(host: &mut Host, mask: Handle, a: Handle, b: Handle) -> Result<Handle> {
    let chooses = host.held("where", &mask)?.tensor.size();
    let (left, right) = (host.held("where", &a)?.tensor.size(), host.held("where", &b)?.tensor.size());
    host.room(broadcast_elements(&[&chooses, &left, &right]), charge::size(host.float))?;
    let result = host.broadcast(Choice::Where.into(), [&a, &b], Some(&mask), charge::CHOICE)?;
    host.graph("where", charge::PRODUCT, &[&mask], &[&result])?;
    Ok(result)
}

pub(super) fn masked_fill(host: &mut Host, x: Handle, mask: Handle, value: f64) -> Result<Handle> {
    let result = host.binary(Binary::MaskedFill { value }.into(), &x, &mask, charge::CHOICE)?;
    host.graph("masked-fill", charge::PRODUCT, &[&mask], &[&result])?;
    Ok(result)
}

pub(super) fn index_select(host: &mut Host, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
    const NAME: &str = "index-select";
    let length = host.held(NAME, &index)?.elements;
    let made = host.held(NAME, &x)?.elements.saturating_mul(length) / host.size(NAME, &x, dim)?.max(1);
    let each = host.scattered(NAME, &x, dim, charge::ROWS)?;
    host.indexed(Lookup::IndexSelect { dim }.into(), [&x, &index], None, None, made, each)
}

pub(super) fn at(host: &mut Host, x: Handle, rows: Handle, columns: Handle) -> Result<Handle> {
    let (values, first, second) = (host.held("at", &x)?, host.held("at", &rows)?, host.held("at", &columns)?);
    // libtorch also takes masks, and positions that broadcast against each other.
    let vectors = [first, second].iter().all(|index| index.tensor.dim() == 1 && index.kind == Kind::Int64);
    if values.tensor.dim() != 2 || !vectors {
        let shapes = describe(&[&values.tensor, &first.tensor, &second.tensor]);
        let message = "not a matrix with two vectors of integers".into();
        return Err(HostFault::Operation { operation: "at", shapes, message }.into());
    }
    let made = first.elements;
    let result = host.indexed(Places::At.into(), [&x, &rows], Some(&columns), None, made, charge::AT)?;
    host.graph("at", charge::PRODUCT, &[&columns], &[&result])?;
    Ok(result)
}

pub(super) fn one_hot(host: &mut Host, x: Handle, classes: i64) -> Result<Handle> {
    let made = host.held("one-hot", &x)?.elements.saturating_mul(classes.unsigned_abs());
    let kind = host.float;
    // libtorch's own is of integers.
    host.room(made, 8 + charge::size(kind))?;
    host.admit(made.saturating_mul(charge::ONE_HOT), 0)?;
    let result = host.unary(Classes::OneHot { classes, kind }.into(), &x, charge::MASK, Some(made))?;
    host.charge(made.saturating_mul(charge::ONE_HOT))?;
    Ok(result)
}
