//! The libtorch calls that lossmith needs and `tch` does not have: fused optimizer steps, gradient clipping that never
//! waits for the device, bfloat16 autocasting on every device, deterministic mode, operations with a backward pass of
//! their own, TorchScript modules with their buffers, tensors that are filled in place, tensors of Python, libtorch's
//! part for CUDA, tensors without values, what a step waits for on a device, and processes that train together.
//!
//! This and the Python module are the only crates of the workspace with `unsafe` code. A C++ exception becomes a
//! [`TchError::Torch`].

#![expect(unsafe_code, reason = "calls C++")]

#[expect(unreachable_pub, reason = "the bridge's macro makes them")]
mod bridge;
mod buffer;
mod context;
mod cuda;
mod distance;
mod hinge;
mod meta;
mod optimizer;
mod program;
mod python;
mod ranks;
mod script;
mod waits;

pub use bridge::ffi::{Extent, MatrixProduct};
pub use buffer::FloatBuffer;
pub use context::{autocast, differentiates, has_usual_modes, set_deterministic, version};
pub use cuda::load_cuda;
pub use distance::euclidean_distances;
pub use hinge::hinge_sums;
pub use meta::meta;
pub use optimizer::{
    AdamSettings, AdamSlot, SgdSettings, SgdSlot, clear_gradients, clip_gradients, fused_adam, fused_sgd,
    retain_gradient,
};
pub use program::{Gradient, Product, elements, elements_mut, parallel, set_gradient};
pub use python::{address_of, is_usual, python_object, tensor_at};
pub use ranks::{Group, Pending, Store};
pub use script::{ScriptModule, ScriptTensor, pickle_state};
pub use waits::{count_waits, is_free_to_read, upload};

use bridge::ffi;
use tch::{TchError, Tensor};

/// A tensor as C++ knows it. `tch` holds a pointer to an `at::Tensor` of its own.
fn pointer(tensor: &Tensor) -> *const ffi::Tensor {
    tensor.as_ptr().cast()
}

/// How large a tensor is, asked in one call.
///
/// # Errors
/// If it is not defined.
pub fn extent(tensor: &Tensor) -> Result<Extent, TchError> {
    // SAFETY: the pointer is that of a tensor that lives until the call is over.
    ffi::extent(unsafe { &*pointer(tensor) }).map_err(error)
}

/// Takes a tensor over from C++.
fn owned(tensor: cxx::UniquePtr<ffi::Tensor>) -> Tensor {
    // SAFETY: the pointer comes from C++'s `new at::Tensor`, as `tch` makes its own, and nobody else has it.
    unsafe { Tensor::from_ptr(tensor.into_raw().cast()) }
}

fn error(exception: cxx::Exception) -> TchError {
    TchError::Torch(exception.what().to_owned())
}
