//! Gradients that a plugin asks for, stops, or gives itself.

use tch::Tensor;
use wasmtime::Result;

use super::operation::Handle;
use crate::charge;
use crate::host::Host;
use crate::host_fault::{HostFault, describe};
use crate::operation::{Backward, Given, Stop};

pub(super) fn gradient(host: &mut Host, of: Handle, with_respect_to: Vec<Handle>) -> Result<Vec<Handle>> {
    let handles: Vec<_> = std::iter::once(&of).chain(&with_respect_to).collect();
    let tensors = handles.iter().map(|x| host.tensor("gradient", x)).collect::<std::result::Result<Vec<_>, _>>()?;
    let named: Vec<_> = tensors.iter().collect();
    // libtorch's engine crashes on a constant.
    if named.iter().any(|x| !x.requires_grad()) {
        let message = "no gradient flows through one of these".into();
        return Err(HostFault::Operation { operation: "gradient", shapes: describe(&named), message }.into());
    }
    host.charge_backward()?;
    let op = Backward::Gradient.into();
    let mut gradients = host.run_many(&op, &named)?;
    for gradient in &mut gradients {
        if let Some(frozen) = host.probe.stopped.next(gradient) {
            *gradient = frozen;
        }
        host.probe.stopped.keep(gradient);
    }
    host.push_all(op, &handles, gradients, false)
}

pub(super) fn detach(host: &mut Host, handle: Handle) -> Result<Handle> {
    let held = host.held("detach", &handle)?;
    let (x, elements) = (held.tensor.shallow_clone(), held.elements);
    host.charge(elements)?;
    let op = Stop::Detach.into();
    let stopped = match host.probe.stopped.next(&x) {
        Some(frozen) => frozen,
        None => host.run_one(&op, &[&x])?,
    };
    host.probe.stopped.keep(&stopped);
    host.push_view(op, &handle, stopped)
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
    let scalar = host.held(NAME, &value)?;
    if scalar.elements != 1 {
        return Err(wrong(&[&scalar.tensor], "the value is not a scalar").into());
    }
    if inputs.len() != gradients.len() {
        return Err(wrong(&[], &format!("{} inputs but {} gradients", inputs.len(), gradients.len())).into());
    }
    host.admit(charge::TENSOR.saturating_mul(inputs.len() as u64), 0)?;
    let mut all = Vec::with_capacity(1 + 2 * inputs.len());
    all.push(&scalar.tensor);
    let (mut work, mut largest) = (0_u64, 0);
    for (input, gradient) in inputs.iter().zip(&gradients) {
        let (x, g) = (host.held(NAME, input)?, host.held(NAME, gradient)?);
        if x.tensor.size() != g.tensor.size() {
            return Err(wrong(&[&x.tensor, &g.tensor], "a gradient without its input's shape").into());
        }
        work = work.saturating_add(charge::TENSOR + 4 * x.elements);
        largest = x.elements.max(largest);
        host.admit(work, largest.saturating_mul(charge::size(host.float)))?;
        all.extend([&x.tensor, &g.tensor]);
    }
    let op = Given::WithGradients.into();
    let total = host.run_one(&op, &all)?;
    host.charge(work)?;
    host.keep(&inputs.iter().chain(&gradients).collect::<Vec<_>>());
    host.probe.cost.given_gradients += 1;
    let pairs = inputs.iter().zip(&gradients).flat_map(|(input, gradient)| [input, gradient]);
    host.push(op, &std::iter::once(&value).chain(pairs).collect::<Vec<_>>(), total)
}
