//! Running an operation of one or two tensors with what it takes charged, and its result kept.

use tch::{TchError, Tensor};
use wasmtime::component::Resource;

use crate::catch_panic::catch_panic;
use crate::charge::Charge;
use crate::host::Host;
use crate::host_fault::{fault, over};

/// A tensor as a plugin has it.
pub(super) type Handle = Resource<Tensor>;

/// Elements below which results are not sized exactly before they are made.
const SMALL: u64 = 1 << 16;

impl Host {
    /// Runs an operation of one tensor whose result has `made` elements; as many as it without.
    pub(super) fn unary(
        &mut self,
        operation: &'static str,
        x: &Resource<Tensor>,
        charge: Charge,
        made: Option<u64>,
        run: impl FnOnce(&Tensor) -> Result<Tensor, TchError>,
    ) -> wasmtime::Result<Resource<Tensor>> {
        let held = self.held(operation, x)?;
        let (made, work) = (made.unwrap_or(held.elements), charge.work(held.elements));
        self.admit(work, charge.bytes(&[&held.tensor], held.elements, made))?;
        let result = catch_panic(|| run(&held.tensor)).map_err(|error| fault(operation, &[&held.tensor], &error))?;
        self.charge(work)?;
        let result = self.push(operation, result)?;
        self.graph(operation, charge, &[x], &[&result])?;
        Ok(result)
    }

    /// Makes a view of a tensor.
    pub(super) fn view(
        &mut self,
        operation: &'static str,
        x: &Resource<Tensor>,
        run: impl FnOnce(&Tensor) -> Result<Tensor, TchError>,
    ) -> wasmtime::Result<Resource<Tensor>> {
        let held = self.held(operation, x)?;
        let elements = held.elements;
        let result = catch_panic(|| run(&held.tensor)).map_err(|error| fault(operation, &[&held.tensor], &error))?;
        self.charge(elements)?;
        self.push_view(operation, result, x)
    }

    /// Runs an operation of one tensor with two results, the second of them indices.
    pub(super) fn unary_pair(
        &mut self,
        operation: &'static str,
        x: &Resource<Tensor>,
        charge: Charge,
        work: u64,
        made: u64,
        run: impl FnOnce(&Tensor) -> Result<(Tensor, Tensor), TchError>,
    ) -> wasmtime::Result<(Resource<Tensor>, Resource<Tensor>)> {
        let held = self.held(operation, x)?;
        self.admit(work, charge.bytes(&[&held.tensor], held.elements, made))?;
        let (first, second) =
            catch_panic(|| run(&held.tensor)).map_err(|error| fault(operation, &[&held.tensor], &error))?;
        self.charge(work)?;
        let (first, second) = (self.push(operation, first)?, self.push(operation, second)?);
        self.graph(operation, charge, &[x], &[&first, &second])?;
        Ok((first, second))
    }

    /// Runs an operation of two tensors whose shapes broadcast.
    pub(super) fn binary(
        &mut self,
        operation: &'static str,
        a: &Resource<Tensor>,
        b: &Resource<Tensor>,
        charge: Charge,
        run: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor, TchError>,
    ) -> wasmtime::Result<Resource<Tensor>> {
        let (left, right) = (self.held(operation, a)?, self.held(operation, b)?);
        let read = left.elements + right.elements;
        // Of small ones the exact shape does not matter here.
        let made = match left.elements.saturating_mul(right.elements) {
            0..=SMALL => left.elements.max(right.elements),
            _ => broadcast_elements(&[&left.tensor.size(), &right.tensor.size()]),
        };
        over("tensor-elements", self.limits.tensor_elements, made)?;
        let (inputs, work) = ([&left.tensor, &right.tensor], charge.work(read.max(made)).max(read));
        self.admit(work.saturating_add(made), charge.bytes(&inputs, read, made))?;
        let result =
            catch_panic(|| run(&left.tensor, &right.tensor)).map_err(|error| fault(operation, &inputs, &error))?;
        self.charge(work)?;
        let result = self.push(operation, result)?;
        self.graph(operation, charge, &[a, b], &[&result])?;
        Ok(result)
    }
}

/// Elements of the broadcast of some shapes; of shapes that do not fit, too many rather than too few.
pub(super) fn broadcast_elements(shapes: &[&[i64]]) -> u64 {
    broadcast_shape(shapes).iter().map(|size| size.unsigned_abs()).fold(1, u64::saturating_mul)
}

/// The broadcast of some shapes; of shapes that do not fit, the larger size.
pub(super) fn broadcast_shape(shapes: &[&[i64]]) -> Vec<i64> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or_default();
    let size = |shape: &[i64], dim: usize| {
        (dim + shape.len()).checked_sub(rank).and_then(|index| shape.get(index)).map_or(1, |&size| size)
    };
    (0..rank).map(|dim| shapes.iter().map(|shape| size(shape, dim)).max().unwrap_or(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::broadcast_elements;

    #[test]
    fn broadcast_counts_the_larger_size_of_each_dimension() {
        assert_eq!(broadcast_elements(&[&[1000, 1], &[1, 2000]]), 2_000_000);
        assert_eq!(broadcast_elements(&[&[5], &[3, 5], &[7, 1, 1]]), 105);
        assert_eq!(broadcast_elements(&[&[], &[]]), 1);
    }
}
