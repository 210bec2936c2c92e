//! Running an operation with what it takes charged, and its result kept.

use tch::{Kind, Tensor};
use wasmtime::Result;

use super::super::bindings::lossmith::plugin::tensor::Dtype;
use super::super::host::{Host, HostFault, attempt, broadcast_elements, describe, fault};
use super::Handle;
use super::formulas::{batches, rows};

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
        run: impl FnOnce(&[i64]) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        self.room_for(operation, shape)?;
        let tensor = attempt(|| run(shape)).map_err(|error| HostFault::Operation {
            operation,
            shapes: format!("shape {shape:?}"),
            message: error.to_string().lines().next().unwrap_or_default().to_owned(),
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
        if self.room_for(operation, shape)? != data.len() as u64 {
            let message = format!("{} values do not fill the shape", data.len());
            return Err(HostFault::Operation { operation, shapes: format!("shape {shape:?}"), message }.into());
        }
        let device = self.device;
        let kind = if T::KIND == Kind::Int64 { Kind::Int64 } else { self.float };
        self.create(operation, shape, |shape| {
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

    pub(in crate::plugin) fn list(&self, elements: u64) -> Result<()> {
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
        columns: impl FnOnce(&[i64]) -> i64,
        run: impl FnOnce(&Tensor, &Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        let (a, b) = (self.held(operation, a)?, self.held(operation, b)?);
        let (left, right) = (a.tensor.size(), b.tensor.size());
        let inner = left.last().map_or(1, |size| size.unsigned_abs()).max(1);
        let batches = broadcast_elements(&[batches(&left), batches(&right)]);
        let matrix = rows(&left).unsigned_abs().saturating_mul(columns(&right).unsigned_abs());
        let result = batches.saturating_mul(matrix);
        self.room(result)?;
        let work = result.saturating_mul(inner) / 16;
        self.budget(work)?;
        let result =
            attempt(|| run(&a.tensor, &b.tensor)).map_err(|error| fault(operation, &[&a.tensor, &b.tensor], &error))?;
        self.charge(work)?;
        self.push(operation, result)
    }

    pub(super) fn join(
        &mut self,
        operation: &'static str,
        tensors: &[Handle],
        run: impl FnOnce(&[&Tensor]) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        let held = tensors.iter().map(|x| self.held(operation, x)).collect::<std::result::Result<Vec<_>, _>>()?;
        self.room(held.iter().map(|x| x.elements).fold(0, u64::saturating_add))?;
        let tensors: Vec<_> = held.iter().map(|x| &x.tensor).collect();
        let result = attempt(|| run(&tensors)).map_err(|error| fault(operation, &tensors, &error))?;
        self.push(operation, result)
    }

    /// Runs an operation whose second tensor is an index: shapes do not broadcast, the result is as large as one of the two.
    pub(super) fn indexed(
        &mut self,
        operation: &'static str,
        x: &Handle,
        index: &Handle,
        run: impl FnOnce(&Tensor, &Tensor) -> std::result::Result<Tensor, tch::TchError>,
    ) -> Result<Handle> {
        let (x, index) = (self.held(operation, x)?, self.held(operation, index)?);
        let elements = x.elements + index.elements;
        let result = attempt(|| run(&x.tensor, &index.tensor))
            .map_err(|error| fault(operation, &[&x.tensor, &index.tensor], &error))?;
        self.charge(elements)?;
        self.push(operation, result)
    }
}
