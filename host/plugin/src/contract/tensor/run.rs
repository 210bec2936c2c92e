//! Running an operation with what it takes charged, and its result kept.

use tch::{Kind, Tensor};
use wasmtime::Result;

use super::Handle;
use super::formulas::{batches, rows};
use super::operation::broadcast_elements;
use crate::bindings::lossmith::plugin::tensor::Dtype;
use crate::catch_panic::catch_panic;
use crate::charge::{self, Charge};
use crate::dtype::is_float;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault};

impl Host {
    pub(super) fn kind(&self, dtype: Dtype) -> Kind {
        match dtype {
            Dtype::Float => self.float,
            Dtype::Integer => Kind::Int64,
            Dtype::Boolean => Kind::Bool,
        }
    }

    pub(super) fn create(
        &mut self,
        operation: &'static str,
        shape: &[i64],
        kind: Kind,
        run: impl FnOnce(&[i64]) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        self.room_for(operation, shape, charge::size(kind))?;
        let tensor = catch_panic(|| run(shape)).map_err(|error| match fault(operation, &[], &error) {
            HostFault::Operation { message, .. } => {
                HostFault::Operation { operation, shapes: format!("shape {shape:?}"), message }
            }
            other => other,
        })?;
        self.push(operation, tensor)
    }

    pub(super) fn tensor_of_list<T: tch::kind::Element + Copy>(
        &mut self,
        operation: &'static str,
        data: &[T],
        shape: &[i64],
    ) -> Result<Handle> {
        self.list(data.len() as u64)?;
        if self.room_for(operation, shape, 8)? != data.len() as u64 {
            let message = format!("{} values do not fill the shape", data.len());
            return Err(HostFault::Operation { operation, shapes: format!("shape {shape:?}"), message }.into());
        }
        let device = self.device;
        let kind = if T::KIND == Kind::Int64 { Kind::Int64 } else { self.float };
        self.create(operation, shape, kind, |shape| {
            Tensor::f_from_slice(data)?.f_reshape(shape)?.f_to_kind(kind)?.f_to_device(device)
        })
    }

    pub(super) fn list_of_tensor<T: tch::kind::Element + Copy + Default>(
        &mut self,
        operation: &'static str,
        x: &Handle,
        kind: Kind,
    ) -> Result<Vec<T>> {
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
        operation: &'static str,
        a: &Handle,
        b: &Handle,
        charge: Charge,
        columns: impl FnOnce(&[i64]) -> i64,
        run: impl FnOnce(&Tensor, &Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
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
        let products = if is_float(a.tensor.kind()) { products / 16 } else { products.saturating_mul(2) };
        let read = a.elements.saturating_add(b.elements);
        let several = if batches > 1 { batches.saturating_mul(charge::MATRIX) } else { 0 };
        let work = products.saturating_add(charge.work(read)).saturating_add(several);
        // Operands that broadcast are copied.
        let wide = batches
            .saturating_mul(inner)
            .saturating_mul(rows(&left).unsigned_abs().saturating_add(columns.unsigned_abs()));
        let copies = if batches > 1 && wide > read { wide.saturating_mul(charge::size(a.tensor.kind())) } else { 0 };
        let bytes = charge.bytes(&[&a.tensor, &b.tensor], read, made);
        self.admit(work.saturating_add(made), bytes.saturating_add(copies))?;
        let result = catch_panic(|| run(&a.tensor, &b.tensor))
            .map_err(|error| fault(operation, &[&a.tensor, &b.tensor], &error))?;
        self.charge(work)?;
        let result = self.push(operation, result)?;
        self.graph(operation, charge, &handles, &[&result])?;
        Ok(result)
    }

    pub(super) fn join(
        &mut self,
        operation: &'static str,
        tensors: &[Handle],
        run: impl FnOnce(&[&Tensor]) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        let held = tensors.iter().map(|x| self.held(operation, x)).collect::<std::result::Result<Vec<_>, _>>()?;
        let made = held.iter().map(|x| x.elements).fold(0, u64::saturating_add);
        let size = held.iter().map(|x| charge::size(x.tensor.kind())).max().unwrap_or_default();
        self.room(made, size)?;
        let work = made.saturating_add(charge::TENSOR.saturating_mul(held.len() as u64));
        self.admit(work, 0)?;
        let tensors: Vec<_> = held.iter().map(|x| &x.tensor).collect();
        let result = catch_panic(|| run(&tensors)).map_err(|error| fault(operation, &tensors, &error))?;
        self.charge(work)?;
        self.push(operation, result)
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
    pub(super) fn largest(
        &mut self,
        operation: &'static str,
        x: &Handle,
        dim: i64,
        run: impl FnOnce(&Tensor) -> std::result::Result<(Tensor, Tensor), tch::TchError>,
    ) -> Result<(Handle, Handle)> {
        let made = self.reduced(operation, x, &[dim])?;
        let work = charge::LARGEST.work(self.held(operation, x)?.elements);
        self.unary_pair(operation, x, charge::LARGEST, work, made, run)
    }

    /// Runs an operation whose second tensor is an index: shapes do not broadcast. Each of the `made` elements that are
    /// looked up or put somewhere costs `each`; with `copied` the result is as large as the first tensor.
    #[expect(clippy::too_many_arguments, reason = "the tensors, the sizes and the operation")]
    pub(super) fn indexed(
        &mut self,
        operation: &'static str,
        x: &Handle,
        index: &Handle,
        copied: Option<u64>,
        made: u64,
        each: u64,
        run: impl FnOnce(&Tensor, &Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        let (values, places) = (self.held(operation, x)?, self.held(operation, index)?);
        let elements = copied.unwrap_or(made);
        self.room(elements, charge::size(values.tensor.kind()))?;
        let work = values.elements.saturating_add(places.elements).saturating_add(made.saturating_mul(each));
        self.admit(work, 0)?;
        let result = catch_panic(|| run(&values.tensor, &places.tensor))
            .map_err(|error| fault(operation, &[&values.tensor, &places.tensor], &error))?;
        self.charge(work)?;
        let result = self.push(operation, result)?;
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
        operation: &'static str,
        x: &Handle,
        index: &Handle,
        source: &Handle,
        each: u64,
        run: impl FnOnce(&Tensor, &Tensor, &Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        let held = self.held(operation, source)?;
        let (source, put) = (held.tensor.shallow_clone(), held.elements);
        let copied = self.held(operation, x)?.elements;
        self.indexed(operation, x, index, Some(copied), put, each, |x, index| run(x, index, &source))
    }
}
