//! Optimizer steps over many parameters in one call, and what belongs to them. All tensors are changed in place.

use crate::bridge::ffi;
use crate::{error, owned, pointer};
use tch::{TchError, Tensor};

/// One parameter and what Adam keeps for it. A parameter without a gradient is skipped.
#[derive(Clone, Copy, Debug)]
pub struct AdamSlot<'a> {
    /// The parameter, a leaf; its gradient is read from it.
    pub parameter: &'a Tensor,
    /// Running mean of the gradient, as the parameter.
    pub average: &'a Tensor,
    /// Running mean of the squared gradient, as the parameter.
    pub square: &'a Tensor,
    /// Steps done so far: one float32 on the parameter's device.
    pub step: &'a Tensor,
}

/// Settings of [`fused_adam`].
#[derive(Clone, Copy, Debug)]
pub struct AdamSettings {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the mean of the gradient.
    pub beta1: f64,
    /// Decay of the mean of the squared gradient.
    pub beta2: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Whether the weight decay acts on the parameter itself (AdamW) or is added to the gradient (Adam).
    pub decoupled: bool,
}

/// One parameter and its momentum. A parameter without a gradient is skipped.
#[derive(Clone, Copy, Debug)]
pub struct SgdSlot<'a> {
    /// The parameter, a leaf; its gradient is read from it.
    pub parameter: &'a Tensor,
    /// The momentum, as the parameter, zero at first; needed only if the settings' momentum is not 0.
    pub momentum: Option<&'a Tensor>,
}

/// Settings of [`fused_sgd`].
#[derive(Clone, Copy, Debug)]
pub struct SgdSettings {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the last step's momentum that is kept.
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
}

/// One step of Adam or AdamW as PyTorch defines them, without AMSGrad.
///
/// # Errors
/// If a tensor differs from its parameter in shape, layout, type or device, or the parameters lie on several devices.
pub fn fused_adam<'a>(slots: impl IntoIterator<Item = AdamSlot<'a>>, settings: AdamSettings) -> Result<(), TchError> {
    let slots: Vec<_> = slots
        .into_iter()
        .map(|slot| ffi::AdamSlot {
            parameter: pointer(slot.parameter),
            average: pointer(slot.average),
            square: pointer(slot.square),
            step: pointer(slot.step),
        })
        .collect();
    let AdamSettings { learning_rate, beta1, beta2, weight_decay, epsilon, decoupled } = settings;
    let settings = ffi::AdamSettings { learning_rate, beta1, beta2, weight_decay, epsilon, decoupled };
    ffi::fused_adam(&slots, &settings).map_err(error)
}

/// One step of SGD as PyTorch defines it, without dampening or Nesterov's momentum.
///
/// # Errors
/// As [`fused_adam`], and if a momentum is missing.
pub fn fused_sgd<'a>(slots: impl IntoIterator<Item = SgdSlot<'a>>, settings: SgdSettings) -> Result<(), TchError> {
    let slots: Vec<_> = slots
        .into_iter()
        .map(|slot| ffi::SgdSlot {
            parameter: pointer(slot.parameter),
            momentum: slot.momentum.map_or(std::ptr::null(), pointer),
        })
        .collect();
    let SgdSettings { learning_rate, momentum, weight_decay } = settings;
    ffi::fused_sgd(&slots, &ffi::SgdSettings { learning_rate, momentum, weight_decay }).map_err(error)
}

/// Scales the gradients so that their global L2 norm is at most `maximum`, without waiting for the device. An infinite
/// maximum only measures.
///
/// Returns the norm before: a scalar on the gradients' device, 0 on the CPU if no parameter has a gradient.
///
/// # Errors
/// If the gradients lie on several devices.
pub fn clip_gradients<'a>(parameters: impl IntoIterator<Item = &'a Tensor>, maximum: f64) -> Result<Tensor, TchError> {
    ffi::clip_gradients(&pointers(parameters), maximum).map(owned).map_err(error)
}

/// Takes the gradients away, so that the next backward pass stores new ones instead of adding.
///
/// # Errors
/// If a tensor cannot have a gradient.
pub fn clear_gradients<'a>(parameters: impl IntoIterator<Item = &'a Tensor>) -> Result<(), TchError> {
    ffi::clear_gradients(&pointers(parameters)).map_err(error)
}

fn pointers<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<ffi::TensorPointer> {
    tensors.into_iter().map(|tensor| ffi::TensorPointer { tensor: pointer(tensor) }).collect()
}

/// Makes the next backward pass keep the gradient of a tensor that is computed from others, for `Tensor::grad`.
///
/// # Errors
/// If it requires no gradient.
pub fn retain_gradient(tensor: &Tensor) -> Result<(), TchError> {
    // SAFETY: the pointer is that of a tensor which outlives the call.
    let tensor = unsafe { &*pointer(tensor) };
    ffi::retain_gradient(tensor).map_err(error)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::{Device, Kind};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
    const ADAM: AdamSettings = AdamSettings {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        weight_decay: 0.0,
        epsilon: 1e-8,
        decoupled: true,
    };

    fn with_gradient() -> Tensor {
        let parameter = Tensor::zeros([2, 3], CPU).set_requires_grad(true);
        parameter.f_sum(Kind::Float).unwrap().backward();
        parameter
    }

    #[test]
    fn a_moment_of_another_shape_type_or_layout_is_an_error() {
        let parameter = with_gradient();
        let (good, step) = (Tensor::zeros([2, 3], CPU), Tensor::zeros([], CPU));
        let update = |average: &Tensor, step: &Tensor| {
            fused_adam([AdamSlot { parameter: &parameter, average, square: &good, step }], ADAM)
        };
        for wrong in [
            Tensor::zeros([3], CPU),
            Tensor::zeros([2, 3], (Kind::Double, Device::Cpu)),
            Tensor::zeros([3, 2], CPU).tr(),
        ] {
            assert!(update(&wrong, &step).unwrap_err().to_string().contains("first moment"));
        }
        assert!(update(&good, &Tensor::zeros([], (Kind::Int64, Device::Cpu))).is_err());
        assert!(update(&good, &step).is_ok());
    }

    #[test]
    fn a_missing_momentum_is_an_error() {
        let parameter = with_gradient();
        let settings = SgdSettings { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        assert!(fused_sgd([SgdSlot { parameter: &parameter, momentum: None }], settings).is_err());
    }

    #[test]
    fn a_parameter_with_holes_is_an_error() {
        let parameter = Tensor::zeros([4, 3], CPU).narrow(1, 0, 2).detach().set_requires_grad(true);
        parameter.f_sum(Kind::Float).unwrap().backward();
        let settings = SgdSettings { learning_rate: 0.1, momentum: 0.0, weight_decay: 0.0 };
        let error = fused_sgd([SgdSlot { parameter: &parameter, momentum: None }], settings).unwrap_err();
        assert!(!error.to_string().contains("frame #"), "{error}");
    }

    #[test]
    fn clearing_leaves_no_gradient() {
        let parameter = with_gradient();
        assert!(parameter.grad().defined());
        clear_gradients([&parameter]).unwrap();
        assert!(!parameter.grad().defined());
    }
}
