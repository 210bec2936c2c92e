//! Running an operation of one or two tensors with what it takes charged, and its result kept.

use tch::{TchError, Tensor};
use wasmtime::component::Resource;

use crate::catch_panic::catch_panic;
use crate::charge::Charge;
use crate::host::Host;
use crate::host_fault::{HostFault, fault, over};
use crate::operation::{Made, Op};

/// A tensor as a plugin has it.
pub(super) type Handle = Resource<Tensor>;

/// Elements below which results are not sized exactly before they are made.
const SMALL: u64 = 1 << 16;

impl Host {
    fn made(&self, op: &Op, inputs: &[&Tensor]) -> Result<Made, TchError> {
        if self.on_meta { op.run_on_meta(inputs) } else { op.run(inputs, self.streams()) }
    }

    /// Runs an operation with one result.
    pub(crate) fn run_one(&self, op: &Op, inputs: &[&Tensor]) -> Result<Tensor, HostFault> {
        let result = catch_panic(|| self.made(op, inputs)?.one());
        result.map_err(|error| fault(op.name(), inputs, &error))
    }

    /// Runs an operation with two results.
    pub(super) fn run_two(&self, op: &Op, inputs: &[&Tensor]) -> Result<(Tensor, Tensor), HostFault> {
        let results = catch_panic(|| self.made(op, inputs)?.two());
        results.map_err(|error| fault(op.name(), inputs, &error))
    }

    /// Runs an operation with as many results as it says.
    pub(crate) fn run_many(&self, op: &Op, inputs: &[&Tensor]) -> Result<Vec<Tensor>, HostFault> {
        let results = catch_panic(|| self.made(op, inputs));
        Ok(results.map_err(|error| fault(op.name(), inputs, &error))?.many())
    }

    /// Gives the plugin handles of the two results of an operation.
    pub(super) fn push_pair(
        &mut self,
        op: Op,
        inputs: &[&Handle],
        results: [Tensor; 2],
    ) -> wasmtime::Result<(Handle, Handle)> {
        let operation = op.name();
        let [first, second] = results;
        let value = self.record(op, inputs, &[&first, &second]);
        let first = self.push_value(operation, first, None, value)?;
        Ok((first, self.push_value(operation, second, None, value.map(|value| value.after(1)))?))
    }

    /// Runs an operation of one tensor whose result has `made` elements; as many as it without.
    pub(super) fn unary(&mut self, op: Op, x: &Handle, charge: Charge, made: Option<u64>) -> wasmtime::Result<Handle> {
        let operation = op.name();
        let held = self.held(operation, x)?;
        let (made, work) = (made.unwrap_or(held.elements), charge.work(held.elements));
        self.admit(work, charge.bytes(&[held.kind], held.elements, made))?;
        let result = self.run_one(&op, &[&held.tensor])?;
        self.charge(work)?;
        let result = self.push(op, &[x], result)?;
        self.graph(operation, charge, &[x], &[&result])?;
        Ok(result)
    }

    /// Makes a view of a tensor.
    pub(super) fn view(&mut self, op: Op, x: &Handle) -> wasmtime::Result<Handle> {
        let held = self.held(op.name(), x)?;
        let elements = held.elements;
        let result = self.run_one(&op, &[&held.tensor])?;
        self.charge(elements)?;
        self.push_view(op, x, result)
    }

    /// Runs an operation of one tensor with two results, the second of them indices.
    pub(super) fn unary_pair(
        &mut self,
        op: Op,
        x: &Handle,
        charge: Charge,
        work: u64,
        made: u64,
    ) -> wasmtime::Result<(Handle, Handle)> {
        let operation = op.name();
        let held = self.held(operation, x)?;
        self.admit(work, charge.bytes(&[held.kind], held.elements, made))?;
        let (first, second) = self.run_two(&op, &[&held.tensor])?;
        self.charge(work)?;
        let (first, second) = self.push_pair(op, &[x], [first, second])?;
        self.graph(operation, charge, &[x], &[&first, &second])?;
        Ok((first, second))
    }

    /// Runs an operation of two tensors whose shapes broadcast.
    pub(super) fn binary(&mut self, op: Op, a: &Handle, b: &Handle, charge: Charge) -> wasmtime::Result<Handle> {
        self.broadcast(op, [a, b], None, charge)
    }

    /// Runs an operation of two tensors whose shapes broadcast, and of one more that is not charged.
    pub(super) fn broadcast(
        &mut self,
        op: Op,
        [a, b]: [&Handle; 2],
        third: Option<&Handle>,
        charge: Charge,
    ) -> wasmtime::Result<Handle> {
        let operation = op.name();
        let (left, right) = (self.held(operation, a)?, self.held(operation, b)?);
        let read = left.elements + right.elements;
        // Of small ones the exact shape does not matter here.
        let made = match left.elements.saturating_mul(right.elements) {
            0..=SMALL => left.elements.max(right.elements),
            _ => broadcast_elements(&[&left.tensor.size(), &right.tensor.size()]),
        };
        over("tensor-elements", self.limits.tensor_elements, made)?;
        let (inputs, work) = ([&left.tensor, &right.tensor], charge.work(read.max(made)).max(read));
        let bytes = charge.bytes(&[left.kind, right.kind], read, made);
        self.admit(work.saturating_add(made), bytes)?;
        let result = match third {
            None => self.run_one(&op, &inputs)?,
            Some(third) => self.run_one(&op, &[inputs[0], inputs[1], &self.held(operation, third)?.tensor])?,
        };
        self.charge(work)?;
        let result = match third {
            None => self.push(op, &[a, b], result)?,
            Some(third) => self.push(op, &[a, b, third], result)?,
        };
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
