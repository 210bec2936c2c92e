//! Products of tensors, and what is fused with them.

use tch::Tensor;
use wasmtime::Result;

use super::einsum::products;
use super::formulas::{norm, refuse, rows};
use super::operation::Handle;
use crate::catch_panic::catch_panic;
use crate::charge;
use crate::dtype::is_float;
use crate::host::Host;
use crate::host_fault::fault;

pub(super) fn einsum(host: &mut Host, equation: String, tensors: Vec<Handle>) -> Result<Handle> {
    const NAME: &str = "einsum";
    let held = tensors.iter().map(|x| host.tensor(NAME, x)).collect::<std::result::Result<Vec<_>, _>>()?;
    let named: Vec<&Tensor> = held.iter().collect();
    let shapes: Vec<Vec<i64>> = held.iter().map(Tensor::size).collect();
    let products = products(&equation, &shapes).map_err(|error| fault(NAME, &named, &error))?;
    let (mut work, mut bytes) = (0_u64, 0_u64);
    for product in products {
        host.room(product.result, 8)?;
        // As `matmul` counts.
        work = work.saturating_add(product.result).saturating_add(product.work / 16);
        bytes = bytes.saturating_add(product.result.saturating_mul(8));
    }
    host.admit(work, bytes)?;
    let result = catch_panic(|| Tensor::f_einsum(&equation, &named, None::<&[i64]>))
        .map_err(|error| fault(NAME, &named, &error))?;
    host.charge(work)?;
    let result = host.push(NAME, result)?;
    host.graph(NAME, charge::PRODUCT, &tensors.iter().collect::<Vec<_>>(), &[&result])?;
    Ok(result)
}

pub(super) fn cosine_matrix(host: &mut Host, a: Handle, b: Handle) -> Result<Handle> {
    host.product("cosine-matrix", &a, &b, charge::COSINES, rows, |a, b| {
        let unit = |x: &Tensor| x.f_div(&norm(x, 2.0, vec![-1], true)?.f_clamp_min(1e-12)?);
        let left = unit(a)?;
        // A matrix with itself is the usual case.
        let right = if std::ptr::eq(a, b) { left.shallow_clone() } else { unit(b)? };
        left.f_matmul(&right.f_transpose(-2, -1)?)
    })
}

pub(super) fn hinge_sums(
    host: &mut Host,
    x: Handle,
    weights: Handle,
    limit: f64,
    above: bool,
) -> Result<(Handle, Handle)> {
    const NAME: &str = "hinge-sums";
    let (values, given) = (host.held(NAME, &x)?, host.held(NAME, &weights)?);
    let elements = values.elements;
    // What is strided is copied.
    let strided = [values, given].iter().filter(|held| !held.tensor.is_contiguous()).count() as u64;
    host.admit(elements, elements.saturating_mul(strided * charge::size(host.float)))?;
    let sums = catch_panic(|| {
        let (x, weights) = (&values.tensor, &given.tensor);
        refuse(x.dim() == 0 || x.size() != weights.size(), "there is not a weight for each element of rows")?;
        refuse(!is_float(x.kind()) || x.kind() != weights.kind(), "values and weights are floats")?;
        refuse(weights.requires_grad(), "the weights have a gradient: `detach` them")?;
        lossmith_torch_shim::hinge_sums(x, weights, limit, above)
    });
    let (sums, active) = sums.map_err(|error| fault(NAME, &[&values.tensor, &given.tensor], &error))?;
    host.charge(elements)?;
    let (sums, active) = (host.push(NAME, sums)?, host.push(NAME, active)?);
    host.graph(NAME, charge::PRODUCT, &[&x, &weights], &[&sums])?;
    Ok((sums, active))
}
