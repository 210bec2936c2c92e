//! Memory of a tensor that is filled in place.

use crate::cuda::pinned;
use tch::{Device, Kind, TchError, Tensor};

/// Floats of 32 bits on the CPU that nobody else has yet: written as a slice, then a tensor without a copy. libtorch's
/// own ways copy through its thread pool, of which each thread that calls it would get one.
#[derive(Debug)]
pub struct FloatBuffer {
    tensor: Tensor,
    length: usize,
}

impl FloatBuffer {
    /// Zeros of this shape, contiguous.
    ///
    /// # Errors
    /// The shape is none, or there is not so much memory.
    pub fn new(shape: &[i64]) -> Result<Self, TchError> {
        Ok(Self::zeros(Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?))
    }

    /// The same in pinned memory: a GPU copies it while the host goes on. libtorch uses the memory again only when such
    /// a copy is over.
    ///
    /// # Errors
    /// As [`FloatBuffer::new`], or there is no GPU.
    pub fn pinned(shape: &[i64]) -> Result<Self, TchError> {
        Ok(Self::zeros(pinned(shape)?))
    }

    /// Of a tensor that is contiguous and nobody else's.
    fn zeros(tensor: Tensor) -> Self {
        let length = tensor.numel();
        // SAFETY: a new contiguous tensor of 32-bit floats has memory for its elements; of none, nothing is written.
        // All bits 0 are the number 0.
        unsafe { std::ptr::write_bytes(tensor.data_ptr().cast::<f32>(), 0, length) };
        Self { tensor, length }
    }

    /// The numbers in row-major order.
    pub fn numbers(&mut self) -> &mut [f32] {
        if self.length == 0 {
            return &mut [];
        }
        // SAFETY: the memory has so many numbers, written by `zeros`, and lives as long as the tensor. Nobody else has
        // the tensor before `into_tensor`, which ends this borrow.
        unsafe { std::slice::from_raw_parts_mut(self.tensor.data_ptr().cast(), self.length) }
    }

    /// The tensor with what was written.
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn what_is_written_is_in_the_tensor() {
        let mut buffer = FloatBuffer::new(&[2, 3]).unwrap();
        assert_eq!(buffer.numbers(), [0.0; 6]);
        buffer.numbers().iter_mut().zip(0_u8..).for_each(|(number, value)| *number = value.into());
        let tensor = buffer.into_tensor();
        assert_eq!((tensor.size(), tensor.kind()), (vec![2, 3], Kind::Float));
        let expected = Tensor::f_from_slice(&[0_f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!(tensor.f_view([6]).unwrap().f_equal(&expected).unwrap());
    }

    #[test]
    fn no_numbers_are_a_tensor_and_no_shape_is_an_error() {
        let mut empty = FloatBuffer::new(&[0, 4]).unwrap();
        assert!(empty.numbers().is_empty());
        assert_eq!(empty.into_tensor().size(), [0, 4]);
        assert!(FloatBuffer::new(&[-1]).is_err());
    }

    #[test]
    fn without_a_gpu_there_is_no_pinned_memory() {
        assert_eq!(FloatBuffer::pinned(&[2, 3]).is_ok(), tch::Cuda::is_available());
    }
}
