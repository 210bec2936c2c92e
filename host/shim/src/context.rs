//! Modes of libtorch: autocasting and determinism.

use crate::bridge::ffi;
use crate::error;
use tch::{Device, TchError};

/// Runs `work` with autocasting to bfloat16 on or off for a kind of device, on this thread.
///
/// Matrix products and convolutions inside compute in bfloat16; parameters stay as they are. What was set before is set
/// again afterwards, also when `work` panics.
///
/// # Errors
/// If the device is neither the CPU nor a CUDA device.
pub fn autocast<T>(device: Device, enabled: bool, work: impl FnOnce() -> T) -> Result<T, TchError> {
    let cuda = match device {
        Device::Cpu => false,
        Device::Cuda(_) => true,
        Device::Mps | Device::Vulkan => return Err(TchError::Torch(format!("no autocasting on {device:?}"))),
    };
    let _leave = Leave(ffi::enter_autocast(cuda, enabled).map_err(error)?);
    Ok(work())
}

struct Leave(ffi::Autocast);

impl Drop for Leave {
    fn drop(&mut self) {
        ffi::leave_autocast(&self.0);
    }
}

/// Whether operations of this thread are differentiated. None where something else looks at them, too: autocasting,
/// inference mode, tracing, a transformation, or hooks for the tensors that a graph keeps.
#[must_use]
pub fn differentiates() -> Option<bool> {
    match ffi::gradient_mode() {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Whether this thread computes as threads do: with gradients, without autocasting, and nothing is traced or
/// transformed.
#[must_use]
pub fn has_usual_modes() -> bool {
    differentiates() == Some(true)
}

/// Makes libtorch use deterministic algorithms, in the whole process. An operation that has none still runs, with a
/// warning on the standard error output: on CUDA that is so of the running sum of floats.
///
/// On CUDA, cuBLAS also needs the environment variable `CUBLAS_WORKSPACE_CONFIG=:4096:8`, set before its first use.
pub fn set_deterministic(on: bool) {
    ffi::set_deterministic(on);
}

/// The version of libtorch, as `2.13.0`.
///
/// # Errors
/// If it is not text.
pub fn version() -> Result<String, TchError> {
    ffi::version().map_err(error)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn what_looks_at_operations_is_told_apart() {
        assert_eq!((differentiates(), tch::no_grad(differentiates)), (Some(true), Some(false)));
        let inside = autocast(Device::Cpu, true, || (differentiates(), has_usual_modes())).unwrap();
        assert_eq!(inside, (None, false));
        assert!(has_usual_modes());
    }

    fn product() -> Kind {
        let x = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        x.f_matmul(&x).unwrap().kind()
    }

    #[test]
    fn autocast_ends_with_its_scope() {
        assert_eq!(autocast(Device::Cpu, true, product).unwrap(), Kind::BFloat16);
        assert_eq!(product(), Kind::Float);
    }

    #[test]
    fn autocast_nests() {
        let kinds =
            autocast(Device::Cpu, true, || (autocast(Device::Cpu, false, product).unwrap(), product())).unwrap();
        assert_eq!(kinds, (Kind::Float, Kind::BFloat16));
    }

    #[test]
    fn autocast_ends_with_a_panic() {
        let caught =
            std::panic::catch_unwind(|| autocast(Device::Cpu, true, || std::panic::resume_unwind(Box::new(()))));
        assert!(caught.is_err());
        assert_eq!(product(), Kind::Float);
    }

    #[test]
    fn autocast_does_not_keep_an_old_weight() {
        let weight = Tensor::ones([2, 2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let sum = || f64::try_from(weight.f_matmul(&weight).unwrap().sum(Kind::Float)).unwrap();
        assert_eq!(autocast(Device::Cpu, true, sum).unwrap(), 8.0);
        let _ = tch::no_grad(|| weight.shallow_clone().f_fill_(2.0).unwrap());
        assert_eq!(autocast(Device::Cpu, true, sum).unwrap(), 32.0);
    }

    #[test]
    fn a_device_without_autocasting_is_an_error() {
        assert!(autocast(Device::Mps, true, || ()).is_err());
    }

    #[test]
    fn deterministic_mode_does_not_refuse_what_has_no_deterministic_form() {
        let index = Tensor::from_slice(&[0i64, 1]);
        set_deterministic(true);
        let put =
            Tensor::zeros([2], (Kind::Float, Device::Cpu)).f_put_(&index, &Tensor::from_slice(&[1.0f32, 2.0]), false);
        set_deterministic(false);
        assert!(put.is_ok());
    }
}
