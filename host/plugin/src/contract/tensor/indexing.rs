//! Indexing: elements chosen by an index or a mask.

use tch::Kind;
use wasmtime::Result;

use super::formulas::{broadcast, refuse};
use super::operation::{Handle, broadcast_elements};
use crate::charge;
use crate::dtype::is_float;
use crate::host::Host;
use crate::host_fault::{HostFault, describe};

pub(super) fn where_(host: &mut Host, mask: Handle, a: Handle, b: Handle) -> Result<Handle> {
    let chooses = host.tensor("where", &mask)?;
    let (left, right) = (host.held("where", &a)?.tensor.size(), host.held("where", &b)?.tensor.size());
    host.room(broadcast_elements(&[&chooses.size(), &left, &right]), charge::size(host.float))?;
    let result = host.binary("where", &a, &b, charge::CHOICE, |a, b| a.f_where_self(&chooses, b))?;
    host.graph("where", charge::PRODUCT, &[&mask], &[&result])?;
    Ok(result)
}

pub(super) fn masked_fill(host: &mut Host, x: Handle, mask: Handle, value: f64) -> Result<Handle> {
    let result = host.binary("masked-fill", &x, &mask, charge::CHOICE, |x, mask| {
        refuse(mask.kind() != Kind::Bool, "the mask is not boolean")?;
        refuse(!broadcast(&x.size(), &mask.size()), "the shapes do not broadcast")?;
        refuse(!is_float(x.kind()) && !value.is_finite(), "the value is not an integer")?;
        x.f_masked_fill(mask, value)
    })?;
    host.graph("masked-fill", charge::PRODUCT, &[&mask], &[&result])?;
    Ok(result)
}

pub(super) fn index_select(host: &mut Host, x: Handle, dim: i64, index: Handle) -> Result<Handle> {
    const NAME: &str = "index-select";
    let length = host.held(NAME, &index)?.elements;
    let made = host.held(NAME, &x)?.elements.saturating_mul(length) / host.size(NAME, &x, dim)?.max(1);
    let each = host.scattered(NAME, &x, dim, charge::ROWS)?;
    host.indexed(NAME, &x, &index, None, made, each, |x, index| x.f_index_select(dim, index))
}

pub(super) fn at(host: &mut Host, x: Handle, rows: Handle, columns: Handle) -> Result<Handle> {
    let (values, first, second) = (host.held("at", &x)?, host.held("at", &rows)?, host.tensor("at", &columns)?);
    // libtorch also takes masks, and positions that broadcast against each other.
    let vectors = [&first.tensor, &second].iter().all(|index| index.dim() == 1 && index.kind() == Kind::Int64);
    if values.tensor.dim() != 2 || !vectors {
        let shapes = describe(&[&values.tensor, &first.tensor, &second]);
        let message = "not a matrix with two vectors of integers".into();
        return Err(HostFault::Operation { operation: "at", shapes, message }.into());
    }
    let made = first.elements;
    let result =
        host.indexed("at", &x, &rows, None, made, charge::AT, |x, rows| x.f_index(&[Some(rows), Some(&second)]))?;
    host.graph("at", charge::PRODUCT, &[&columns], &[&result])?;
    Ok(result)
}

pub(super) fn one_hot(host: &mut Host, x: Handle, classes: i64) -> Result<Handle> {
    let made = host.held("one-hot", &x)?.elements.saturating_mul(classes.unsigned_abs());
    let float = host.float;
    // libtorch's own is of integers.
    host.room(made, 8 + charge::size(float))?;
    host.admit(made.saturating_mul(charge::ONE_HOT), 0)?;
    let result = host.unary("one-hot", &x, charge::MASK, Some(made), |x| {
        // libtorch counts the classes itself when it is given -1.
        refuse(classes < 1, "there is no class")?;
        x.f_one_hot(classes)?.f_to_kind(float)
    })?;
    host.charge(made.saturating_mul(charge::ONE_HOT))?;
    Ok(result)
}
