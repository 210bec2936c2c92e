//! Running an operation with what it takes charged, and its result kept.

use tch::Kind;
use wasmtime::Result;

use super::Handle;
use super::operation::broadcast_elements;
use super::sizes::{batches, rows};
use crate::bindings::lossmith::plugin::tensor::Dtype;
use crate::charge::{self, Charge};
use crate::dtype::is_float;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault};
use crate::operation::{Create, Join, Op, Order, Product, Put};

impl Host {
    pub(super) fn kind(&self, dtype: Dtype) -> Kind {
        match dtype {
            Dtype::Float => self.float,
            Dtype::Integer => Kind::Int64,
            Dtype::Boolean => Kind::Bool,
        }
    }

    pub(super) fn create(&mut self, op: Create) -> Result<Handle> {
        op.with_shape(|shape| self.room_for(op.name(), shape, charge::size(op.kind())))?;
        let op = Op::from(op);
        let tensor = self.run_one(&op, &[]).map_err(|fault| match (fault, &op) {
            (HostFault::Operation { operation, message, .. }, Op::Create(op)) => {
                HostFault::Operation { operation, shapes: op.with_shape(|shape| format!("shape {shape:?}")), message }
            }
            (other, _) => other,
        })?;
        self.push(op, &[], tensor)
    }

    /// Makes a tensor of a list of so many values.
    pub(super) fn tensor_of_list(&mut self, length: usize, op: Create) -> Result<Handle> {
        self.list(length as u64)?;
        if op.with_shape(|shape| self.room_for(op.name(), shape, 8))? != length as u64 {
            let message = format!("{length} values do not fill the shape");
            let shapes = op.with_shape(|shape| format!("shape {shape:?}"));
            return Err(HostFault::Operation { operation: op.name(), shapes, message }.into());
        }
        self.create(op)
    }

    pub(super) fn list_of_tensor<T: tch::kind::Element + Copy + Default>(
        &mut self,
        operation: &'static str,
        x: &Handle,
        kind: Kind,
    ) -> Result<Vec<T>> {
        self.recorder.end("it reads values, as a list");
        let x = self.held(operation, x)?;
        self.list(x.elements)?;
        let elements = x.elements;
        self.admit(elements, elements.saturating_mul(16))?;
        let mut list = vec![T::default(); x.elements as usize];
        let copied = x
            .tensor
            .f_detach()
            .and_then(|x| x.f_to_kind(kind)?.f_to_device(tch::Device::Cpu)?.f_contiguous())
            .and_then(|flat| flat.f_copy_data(&mut list, elements as usize));
        copied.map_err(|error| fault(operation, &[&x.tensor], &error))?;
        self.charge(elements)?;
        Ok(list)
    }

    pub(crate) fn list(&self, elements: u64) -> Result<()> {
        let limit = self.limits.list_elements;
        if elements > limit {
            return Err(HostFault::Limit { limit: "list-elements", value: limit, wanted: Some(elements) }.into());
        }
        Ok(())
    }

    pub(super) fn size(&self, operation: &'static str, x: &Handle, dim: i64) -> Result<u64> {
        let x = &self.held(operation, x)?.tensor;
        let sizes = x.size();
        let index = if dim < 0 { dim + sizes.len() as i64 } else { dim };
        let size = usize::try_from(index).ok().and_then(|index| sizes.get(index));
        let missing = || HostFault::Operation {
            operation,
            shapes: describe(&[x]),
            message: format!("there is no dimension {dim}"),
        };
        Ok(size.ok_or_else(missing)?.unsigned_abs())
    }

    /// Runs a product of matrices; `columns` reads the number of result columns from the second shape.
    pub(super) fn product(
        &mut self,
        op: Product,
        a: &Handle,
        b: &Handle,
        charge: Charge,
        columns: impl FnOnce(&[i64]) -> i64,
    ) -> Result<Handle> {
        let operation = op.name();
        let handles = [a, b];
        let (a, b) = (self.held(operation, a)?, self.held(operation, b)?);
        let (left, right) = (a.tensor.size(), b.tensor.size());
        let inner = left.last().map_or(1, |size| size.unsigned_abs()).max(1);
        let columns = columns(&right);
        let batches = broadcast_elements(&[batches(&left), batches(&right)]);
        let matrix = rows(&left).unsigned_abs().saturating_mul(columns.unsigned_abs());
        let made = batches.saturating_mul(matrix);
        self.room(made, 0)?;
        let products = made.saturating_mul(inner);
        let products = if is_float(a.kind) { products / 16 } else { products.saturating_mul(2) };
        let read = a.elements.saturating_add(b.elements);
        let several = if batches > 1 { batches.saturating_mul(charge::MATRIX) } else { 0 };
        let work = products.saturating_add(charge.work(read)).saturating_add(several);
        // Operands that broadcast are copied.
        let wide = batches
            .saturating_mul(inner)
            .saturating_mul(rows(&left).unsigned_abs().saturating_add(columns.unsigned_abs()));
        let copies = if batches > 1 && wide > read { wide.saturating_mul(charge::size(a.kind)) } else { 0 };
        let bytes = charge.bytes(&[a.kind, b.kind], read, made);
        self.admit(work.saturating_add(made), bytes.saturating_add(copies))?;
        let op = op.into();
        let result = self.run_one(&op, &[&a.tensor, &b.tensor])?;
        self.charge(work)?;
        let result = self.push(op, &handles, result)?;
        self.graph(operation, charge, &handles, &[&result])?;
        Ok(result)
    }

    pub(super) fn join(&mut self, op: Join, tensors: &[Handle]) -> Result<Handle> {
        let operation = op.name();
        let held = tensors.iter().map(|x| self.held(operation, x)).collect::<std::result::Result<Vec<_>, _>>()?;
        let made = held.iter().map(|x| x.elements).fold(0, u64::saturating_add);
        let size = held.iter().map(|x| charge::size(x.kind)).max().unwrap_or_default();
        self.room(made, size)?;
        let work = made.saturating_add(charge::TENSOR.saturating_mul(held.len() as u64));
        self.admit(work, 0)?;
        let inputs: Vec<_> = held.iter().map(|x| &x.tensor).collect();
        let op = op.into();
        let result = self.run_one(&op, &inputs)?;
        self.charge(work)?;
        self.push(op, &tensors.iter().collect::<Vec<_>>(), result)
    }

    /// Elements of what a reduction over `dims` makes; over all where there are none.
    pub(super) fn reduced(&self, operation: &'static str, x: &Handle, dims: &[i64]) -> Result<u64> {
        self.rank(dims)?;
        if dims.is_empty() {
            return Ok(1);
        }
        let sizes = self.held(operation, x)?.tensor.size();
        let rank = sizes.len() as i64;
        let reduced = |place: usize| dims.iter().any(|&dim| dim == place as i64 || dim + rank == place as i64);
        let left = sizes.iter().enumerate().filter(|(place, _)| !reduced(*place));
        Ok(left.map(|(_, size)| size.unsigned_abs()).fold(1, u64::saturating_mul))
    }

    /// Runs `max` or `min` along a dimension.
    pub(super) fn largest(&mut self, op: Order, x: &Handle, dim: i64) -> Result<(Handle, Handle)> {
        let made = self.reduced(op.name(), x, &[dim])?;
        let work = charge::LARGEST.work(self.held(op.name(), x)?.elements);
        self.unary_pair(op.into(), x, charge::LARGEST, work, made)
    }

    /// Runs an operation whose second tensor is an index: shapes do not broadcast. Each of the `made` elements that are
    /// looked up or put somewhere costs `each`; with `copied` the result is as large as the first tensor.
    pub(super) fn indexed(
        &mut self,
        op: Op,
        [x, index]: [&Handle; 2],
        third: Option<&Handle>,
        copied: Option<u64>,
        made: u64,
        each: u64,
    ) -> Result<Handle> {
        let operation = op.name();
        let (values, places) = (self.held(operation, x)?, self.held(operation, index)?);
        let elements = copied.unwrap_or(made);
        self.room(elements, charge::size(values.kind))?;
        let work = values.elements.saturating_add(places.elements).saturating_add(made.saturating_mul(each));
        self.admit(work, 0)?;
        let result = match third {
            None => self.run_one(&op, &[&values.tensor, &places.tensor])?,
            Some(third) => {
                self.run_one(&op, &[&values.tensor, &places.tensor, &self.held(operation, third)?.tensor])?
            }
        };
        self.charge(work)?;
        let result = match third {
            None => self.push(op, &[x, index], result)?,
            Some(third) => self.push(op, &[x, index, third], result)?,
        };
        self.graph(operation, charge::PRODUCT, &[index], &[&result])?;
        Ok(result)
    }

    /// Units for each element where entries along `dim` are looked up: wide ones are read in order.
    pub(super) fn scattered(&self, operation: &'static str, x: &Handle, dim: i64, each: u64) -> Result<u64> {
        let sizes = self.held(operation, x)?.tensor.size();
        let place = if dim < 0 { dim + sizes.len() as i64 } else { dim };
        let inner = sizes.iter().skip(usize::try_from(place + 1).unwrap_or_default());
        let wide = inner.map(|size| size.unsigned_abs()).fold(1, u64::saturating_mul) >= charge::WIDE;
        Ok(if wide { charge::WIDE_ROWS } else { each })
    }

    /// Runs an operation that puts elements of `source` into a copy of `x`.
    pub(super) fn replaced(
        &mut self,
        op: Put,
        x: &Handle,
        index: &Handle,
        source: &Handle,
        each: u64,
    ) -> Result<Handle> {
        let put = self.held(op.name(), source)?.elements;
        let copied = self.held(op.name(), x)?.elements;
        self.indexed(op.into(), [x, index], Some(source), Some(copied), put, each)
    }
}
