//! Gradients that are asked for, stopped, or given.

use tch::{Kind, TchError, Tensor};

use super::formulas::refuse;
use crate::state::copy;

operations! {
    /// Without a way back.
    Stop(x: &Tensor) -> Tensor {
        Detach "detach" => x.f_detach();
        // In memory of its own, as a buffer or a metric is kept.
        Copy "copy" => copy(x);
    }
}

operations! {
    /// Gradients of the sum of the first tensor with respect to the others, each with its shape.
    Backward(tensors: &[&Tensor]) -> Vec<Tensor> {
        Gradient "gradient" => {
            let (of, inputs) = tensors.split_first().ok_or_else(missing)?;
            let sum = of.f_sum(None::<Kind>)?;
            let gradients = Tensor::f_run_backward(&[sum], inputs, true, false)?;
            let all = gradients.iter().all(Tensor::defined);
            refuse(!all, "`of` does not depend on one of the inputs")?;
            Ok(gradients)
        };
    }
}

operations! {
    /// A scalar, the first tensor, with gradients that are given: tensors that it depends on and their gradients follow
    /// in turns.
    Given(tensors: &[&Tensor]) -> Tensor {
        WithGradients "with-gradients" => {
            let (value, pairs) = tensors.split_first().ok_or_else(missing)?;
            let mut total = value.f_detach()?;
            // v + (<x, g> - stop(<x, g>)): the bracket is exactly 0, its derivative exactly g.
            for pair in pairs.chunks_exact(2) {
                let [x, gradient] = pair else { return Err(missing()) };
                let product = x.f_mul(&gradient.f_detach()?)?.f_sum(None::<Kind>)?;
                total = total.f_add(&product.f_sub(&product.f_detach()?)?)?;
            }
            Ok(total)
        };
    }
}

fn missing() -> TchError {
    TchError::Torch("a tensor is missing".into())
}
