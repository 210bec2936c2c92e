//! The part of libtorch for CUDA, and memory of the host that a GPU can read.

use crate::bridge::ffi;
use crate::{error, owned};
use tch::{TchError, Tensor};

/// Loads libtorch's part for CUDA from the folder of the libtorch in use, unless that was done. A program that was
/// linked against the part for the CPU alone finds no device without it.
///
/// Call it before the first question about a device in the process: libtorch keeps the answer. Loading it takes seconds
/// and gigabytes of address space, so that it is done only where a CUDA device is asked for.
///
/// # Errors
/// What the system's loader says: there is no such library, as with libtorch for the CPU, or one that it needs is
/// missing.
pub fn load_cuda() -> Result<(), TchError> {
    ffi::load_cuda().map_err(error)
}

/// 32-bit floats of the CPU in this shape, not set, in pinned memory. An error if there is no GPU, or no room.
pub(crate) fn pinned(shape: &[i64]) -> Result<Tensor, TchError> {
    Ok(owned(ffi::pinned(shape).map_err(error)?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn libtorch_for_the_cpu_says_which_library_is_missing() {
        match load_cuda() {
            // Where libtorch is the build for GPUs.
            Ok(()) => load_cuda().unwrap(),
            Err(error) => assert!(error.to_string().contains("libtorch_cuda.so"), "{error}"),
        }
    }
}
