//! Tensors of Python and of Rust: two handles of the same data, with the same graph. Nothing is copied.

use lossmith_torch_shim::{python_object, tensor_at};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use tch::{Device, Kind, TchError, Tensor};

/// `torch.Tensor`.
static TENSOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Whether an object is a tensor and nothing more: of no class made of it.
pub(crate) fn is_tensor(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.get_type().is(TENSOR.import(object.py(), "torch", "Tensor")?))
}

/// The tensor of an object. `what` names it in the error.
pub(crate) fn tensor(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Tensor> {
    let python = object.py();
    if !object.is_instance(TENSOR.import(python, "torch", "Tensor")?)? {
        let found = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!("{what} must be a torch.Tensor, not {found}")));
    }
    let address: usize = object.getattr(pyo3::intern!(python, "_cdata"))?.extract()?;
    // SAFETY: the object is a tensor and lives as long as this reference.
    unsafe { tensor_at(address) }.map_err(torch)
}

/// The tensor of an object that may be None.
pub(crate) fn optional(object: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<Option<Tensor>> {
    object.map(|object| tensor(object, what)).transpose()
}

/// The object of a tensor.
pub(crate) fn object(python: Python<'_>, tensor: &Tensor) -> PyResult<Py<PyAny>> {
    // SAFETY: `python` says that this thread holds the interpreter's lock.
    let pointer = unsafe { python_object(tensor) }.map_err(torch)?;
    // SAFETY: it is an object that is ours, and not null.
    Ok(unsafe { Bound::from_owned_ptr(python, pointer as *mut pyo3::ffi::PyObject) }.unbind())
}

/// What libtorch says, in a sentence.
pub(crate) fn torch(error: TchError) -> PyErr {
    PyRuntimeError::new_err(lossmith_plugin::brief(&error))
}

/// The smallest and the largest of integers, without an operation of libtorch where they lie in the CPU's memory in one
/// row.
pub(crate) fn bounds(integers: &Tensor) -> Result<Option<(i64, i64)>, TchError> {
    if integers.numel() == 0 {
        return Ok(None);
    }
    if integers.device() == Device::Cpu && integers.kind() == Kind::Int64 && integers.is_contiguous() {
        // SAFETY: so many 64-bit integers lie there, and nobody writes to them while this thread holds the
        // interpreter's lock.
        let numbers = unsafe { std::slice::from_raw_parts(integers.data_ptr().cast::<i64>(), integers.numel()) };
        return Ok(numbers.iter().min().copied().zip(numbers.iter().max().copied()));
    }
    Ok(Some((integers.f_min()?.f_int64_value(&[])?, integers.f_max()?.f_int64_value(&[])?)))
}

/// Whether floats are finite, without an operation of libtorch; none where they do not lie in the CPU's memory in one
/// row.
pub(crate) fn are_finite(floats: &Tensor) -> Option<bool> {
    if floats.device() != Device::Cpu || !floats.is_contiguous() {
        return None;
    }
    // The bits of a float without its sign are those of a larger integer for a larger float, and infinity and NaN are
    // the largest: one maximum tells.
    match floats.kind() {
        Kind::Float => {
            // SAFETY: so many 32-bit floats lie there, and nobody writes to them while this thread holds the
            // interpreter's lock.
            let bits = unsafe { std::slice::from_raw_parts(floats.data_ptr().cast::<u32>(), floats.numel()) };
            Some(bits.iter().map(|bits| bits & 0x7FFF_FFFF).max().is_none_or(|largest| largest < 0x7F80_0000))
        }
        Kind::Double => {
            // SAFETY: as above, with 64 bits.
            let bits = unsafe { std::slice::from_raw_parts(floats.data_ptr().cast::<u64>(), floats.numel()) };
            let largest = bits.iter().map(|bits| bits & 0x7FFF_FFFF_FFFF_FFFF).max();
            Some(largest.is_none_or(|largest| largest < 0x7FF0_0000_0000_0000))
        }
        _ => None,
    }
}

/// The name that PyTorch gives a device.
pub(crate) fn device_name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".to_owned(),
        Device::Cuda(number) => format!("cuda:{number}"),
        Device::Mps => "mps".to_owned(),
        Device::Vulkan => "vulkan".to_owned(),
    }
}
