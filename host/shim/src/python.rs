//! Tensors of PyTorch in Python: handles of the same data, with the same graph.

use crate::bridge::ffi;
use crate::{error, owned, pointer};
use tch::{TchError, Tensor};

/// Another handle of the tensor whose address PyTorch tells as `_cdata`.
///
/// # Safety
/// A Python object holds a tensor at this address.
///
/// # Errors
/// What libtorch says.
pub unsafe fn tensor_at(address: usize) -> Result<Tensor, TchError> {
    // SAFETY: as the caller says.
    unsafe { ffi::tensor_at(address) }.map(owned).map_err(error)
}

/// Whether a tensor is what most are: floats of 32 or 64 bits or integers of 64 that lie in one row in the CPU's
/// memory, and nothing but autograd looks at what is done with it.
///
/// # Errors
/// What libtorch says.
pub fn is_usual(tensor: &Tensor) -> Result<bool, TchError> {
    // SAFETY: `tch` holds a pointer to an `at::Tensor` that lives as long as this reference.
    unsafe { pointer(tensor).as_ref() }.map_or(Ok(false), ffi::is_usual).map_err(error)
}

/// The address of a tensor, as PyTorch tells it as `_cdata`: that of all handles of it is the same.
#[must_use]
pub fn address_of(tensor: &Tensor) -> usize {
    // SAFETY: `tch` holds a pointer to an `at::Tensor` that lives as long as this reference.
    unsafe { pointer(tensor).as_ref() }.map_or(0, ffi::address_of)
}

/// The Python object of a tensor, a `PyObject *` that the caller owns. It is the same one for all handles of a tensor.
///
/// # Safety
/// The calling thread holds the lock of the Python interpreter.
///
/// # Errors
/// torch was not imported in this process.
pub unsafe fn python_object(tensor: &Tensor) -> Result<usize, TchError> {
    // SAFETY: as above, and as the caller says.
    let tensor = unsafe { pointer(tensor).as_ref() };
    let tensor = tensor.ok_or_else(|| TchError::Torch("a tensor that is not there".into()))?;
    // SAFETY: as the caller says.
    unsafe { ffi::python_object(tensor) }.map_err(error)
}
