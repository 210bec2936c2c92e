//! Products of tensors, and what is fused with them.

use tch::Tensor;
use wasmtime::Result;

use super::einsum::products;
use super::operation::Handle;
use crate::charge;
use crate::host::Host;
use crate::host_fault::fault;
use crate::operation::{Einsum, Hinges};

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
    let op = Einsum::Einsum { equation }.into();
    let result = host.run_one(&op, &named)?;
    host.charge(work)?;
    let inputs: Vec<_> = tensors.iter().collect();
    let result = host.push(op, &inputs, result)?;
    host.graph(NAME, charge::PRODUCT, &inputs, &[&result])?;
    Ok(result)
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
    let op = Hinges::HingeSums { limit, above }.into();
    let (sums, active) = host.run_two(&op, &[&values.tensor, &given.tensor])?;
    host.charge(elements)?;
    let (sums, active) = host.push_pair(op, &[&x, &weights], [sums, active])?;
    host.graph(NAME, charge::PRODUCT, &[&x, &weights], &[&sums])?;
    Ok((sums, active))
}
