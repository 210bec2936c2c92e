//! Gradients that a plugin asks for, stops, or gives itself.

use tch::{Kind, Tensor};
use wasmtime::Result;

use super::operation::Handle;
use crate::charge;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault};

pub(super) fn gradient(host: &mut Host, of: Handle, with_respect_to: Vec<Handle>) -> Result<Vec<Handle>> {
    let of = host.tensor("gradient", &of)?;
    let inputs =
        with_respect_to.iter().map(|x| host.tensor("gradient", x)).collect::<std::result::Result<Vec<_>, _>>()?;
    let named: Vec<_> = std::iter::once(&of).chain(&inputs).collect();
    // libtorch's engine crashes on a constant.
    if named.iter().any(|x| !x.requires_grad()) {
        let message = "no gradient flows through one of these".into();
        return Err(HostFault::Operation { operation: "gradient", shapes: describe(&named), message }.into());
    }
    host.charge_backward()?;
    let gradients = of
        .f_sum(None::<Kind>)
        .and_then(|sum| Tensor::f_run_backward(&[sum], &inputs, true, false))
        .map_err(|error| fault("gradient", &named, &error))?;
    if gradients.iter().any(|gradient| !gradient.defined()) {
        let message = "`of` does not depend on one of the inputs".into();
        return Err(HostFault::Operation { operation: "gradient", shapes: describe(&named), message }.into());
    }
    let mut handles = Vec::with_capacity(gradients.len());
    for gradient in gradients {
        let gradient = host.probe.stopped.next(&gradient).unwrap_or(gradient);
        host.probe.stopped.keep(&gradient);
        handles.push(host.push("gradient", gradient)?);
    }
    Ok(handles)
}

pub(super) fn detach(host: &mut Host, handle: Handle) -> Result<Handle> {
    let held = host.held("detach", &handle)?;
    let (x, elements) = (held.tensor.shallow_clone(), held.elements);
    host.charge(elements)?;
    let stopped = match host.probe.stopped.next(&x) {
        Some(frozen) => frozen,
        None => x.f_detach().map_err(|error| fault("detach", &[&x], &error))?,
    };
    host.probe.stopped.keep(&stopped);
    host.push_view("detach", stopped, &handle)
}

pub(super) fn with_gradients(
    host: &mut Host,
    value: Handle,
    inputs: Vec<Handle>,
    gradients: Vec<Handle>,
) -> Result<Handle> {
    const NAME: &str = "with-gradients";
    let wrong = |inputs: &[&Tensor], message: &str| HostFault::Operation {
        operation: NAME,
        shapes: describe(inputs),
        message: message.into(),
    };
    let value = host.tensor(NAME, &value)?;
    if value.numel() != 1 {
        return Err(wrong(&[&value], "the value is not a scalar").into());
    }
    if inputs.len() != gradients.len() {
        return Err(wrong(&[], &format!("{} inputs but {} gradients", inputs.len(), gradients.len())).into());
    }
    host.admit(charge::TENSOR.saturating_mul(inputs.len() as u64), 0)?;
    // v + (<x, g> - stop(<x, g>)): the bracket is exactly 0, its derivative exactly g.
    let mut total = value.f_detach().map_err(|error| fault(NAME, &[&value], &error))?;
    for (input, gradient) in inputs.iter().zip(&gradients) {
        let (x, g) = (host.held(NAME, input)?, host.held(NAME, gradient)?);
        if x.tensor.size() != g.tensor.size() {
            return Err(wrong(&[&x.tensor, &g.tensor], "a gradient without its input's shape").into());
        }
        let work = charge::TENSOR + 4 * x.elements;
        host.admit(work, x.elements.saturating_mul(charge::size(host.float)))?;
        total = g
            .tensor
            .f_detach()
            .and_then(|g| x.tensor.f_mul(&g))
            .and_then(|product| product.f_sum(None::<Kind>))
            .and_then(|product| product.f_sub(&product.f_detach()?))
            .and_then(|zero| total.f_add(&zero))
            .map_err(|error| fault(NAME, &[&x.tensor, &g.tensor], &error))?;
        host.charge(work)?;
        host.keep(&[input, gradient]);
    }
    host.probe.cost.given_gradients += 1;
    host.push(NAME, total)
}
