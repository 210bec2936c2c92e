//! Tensors with shapes and without values.

use tch::{TchError, Tensor};

use crate::bridge::ffi;
use crate::{error, owned, pointer};

/// A tensor of the same shape, strides and dtype on libtorch's device `meta`: it has no memory, and an operation on it
/// makes another such tensor without computing anything. Autograd follows it where it follows `tensor`. `tch` does not
/// know the device, and takes it for another one that is not the CPU.
///
/// # Errors
/// What libtorch says.
pub fn meta(tensor: &Tensor) -> Result<Tensor, TchError> {
    // SAFETY: the pointer is that of a live tensor.
    let tensor = unsafe { &*pointer(tensor) };
    ffi::meta(tensor).map(owned).map_err(error)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn it_has_a_shape_and_takes_no_memory() {
        // Once as a whole this would be 16 TB.
        let x = Tensor::zeros([2_000_000, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let x = meta(&x).unwrap();
        let product = x.f_matmul(&x.f_transpose(0, 1).unwrap()).unwrap();
        assert_eq!((product.size(), product.kind()), (vec![2_000_000, 2_000_000], Kind::Float));
        assert!(product.requires_grad());
        assert!(product.f_sum(Kind::Float).unwrap().f_double_value(&[]).is_err());
    }

    #[test]
    fn strides_stay() {
        let x = Tensor::zeros([3, 4], (Kind::Int64, Device::Cpu)).transpose(0, 1);
        assert_eq!(meta(&x).unwrap().stride(), x.stride());
    }
}
