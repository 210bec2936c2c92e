//! The interface `state` of the contract: parameters and buffers that the host owns for a slot.

use tch::Tensor;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::state as wit;
use crate::dtype::is_float;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault, over};
use crate::operation::Stop;
use crate::program::{Effect, Observation, Source, ValueId};
use crate::state::{StateParameter, bytes, copy};

/// A copy that can be trained.
fn leaf(operation: &'static str, tensor: &Tensor) -> std::result::Result<Tensor, HostFault> {
    copy(tensor).and_then(|mut copy| copy.f_requires_grad_(true)).map_err(|error| fault(operation, &[tensor], &error))
}

fn wrong(operation: &'static str, inputs: &[&Tensor], message: String) -> HostFault {
    HostFault::Operation { operation, shapes: describe(inputs), message }
}

impl wit::Host for Host {
    fn parameter(&mut self, name: String) -> Result<Option<Resource<Tensor>>> {
        self.charge(name.len() as u64)?;
        let found = self.state.parameter(&name).map(|parameter| parameter.tensor.shallow_clone());
        self.push_optional("state.parameter", found, || Source::Parameter(name))
    }

    fn add_parameter(&mut self, name: String, initial: Resource<Tensor>, multiplier: f64) -> Result<Resource<Tensor>> {
        const NAME: &str = "state.add-parameter";
        self.recorder.end("it makes a parameter");
        self.charge_text(name.len())?;
        let initial = self.tensor(NAME, &initial)?;
        if self.state.parameter(&name).is_some() {
            return Err(wrong(NAME, &[&initial], format!("the parameter `{name}` exists")).into());
        }
        if !is_float(initial.kind()) {
            return Err(wrong(NAME, &[&initial], format!("the parameter `{name}` must be float")).into());
        }
        if !multiplier.is_finite() || multiplier < 0.0 {
            return Err(wrong(NAME, &[&initial], format!("a learning-rate multiplier of {multiplier}")).into());
        }
        self.state_room(&name, &initial)?;
        let tensor = leaf(NAME, &initial)?;
        let handle = tensor.shallow_clone();
        self.state.add_parameter(name, StateParameter { tensor, learning_rate_multiplier: multiplier });
        self.push_value(NAME, handle, None, None)
    }

    fn replace_parameter(&mut self, name: String, value: Resource<Tensor>) -> Result<Resource<Tensor>> {
        const NAME: &str = "state.replace-parameter";
        self.recorder.end("it replaces a parameter");
        self.charge_text(name.len())?;
        let value = self.tensor(NAME, &value)?;
        let Some(&StateParameter { learning_rate_multiplier, .. }) = self.state.parameter(&name) else {
            return Err(wrong(NAME, &[&value], format!("there is no parameter `{name}`")).into());
        };
        if !is_float(value.kind()) {
            return Err(wrong(NAME, &[&value], format!("the parameter `{name}` must be float")).into());
        }
        self.state_room(&name, &value)?;
        let tensor = leaf(NAME, &value)?;
        let handle = tensor.shallow_clone();
        self.state.add_parameter(name, StateParameter { tensor, learning_rate_multiplier });
        self.push_value(NAME, handle, None, None)
    }

    fn buffer(&mut self, name: String) -> Result<Option<Resource<Tensor>>> {
        self.charge(name.len() as u64)?;
        const NAME: &str = "state.buffer";
        let found = self.state.buffer(&name).map(Tensor::shallow_clone);
        match (self.recorder.buffer(&name), found) {
            // The call has set it.
            (Some(value), Some(tensor)) => {
                let value = self.recorder.again(Some(value), &tensor);
                self.push_value(NAME, tensor, None, value).map(Some)
            }
            (_, found) => self.push_optional(NAME, found, || Source::Buffer(name)),
        }
    }

    fn set_buffer(&mut self, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "state.set-buffer";
        self.charge_text(name.len())?;
        let (tensor, place) = (self.tensor(NAME, &value)?, self.held(NAME, &value)?.value);
        let known = self.recorder.buffer(&name).is_some();
        if let Some(old) = self.state.buffer(&name) {
            if old.size() != tensor.size() || old.kind() != tensor.kind() {
                return Err(
                    wrong(NAME, &[old, &tensor], format!("the buffer `{name}` has another shape or dtype")).into()
                );
            }
            if !known {
                self.recorder.observe(|| Observation::tensor(Source::Buffer(name.clone()), Some(old)));
            }
        } else {
            self.recorder.end("it makes a buffer");
            self.state_room(&name, &tensor)?;
        }
        self.keep_buffer(NAME, name, &tensor, place)
    }

    fn replace_buffer(&mut self, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "state.replace-buffer";
        self.recorder.end("it replaces a buffer");
        self.charge_text(name.len())?;
        let value = self.tensor(NAME, &value)?;
        if self.state.buffer(&name).is_none() {
            return Err(wrong(NAME, &[&value], format!("there is no buffer `{name}`")).into());
        }
        self.state_room(&name, &value)?;
        self.keep_buffer(NAME, name, &value, None)
    }
}

impl Host {
    fn keep_buffer(
        &mut self,
        operation: &'static str,
        name: String,
        value: &Tensor,
        place: Option<ValueId>,
    ) -> Result<()> {
        self.charge(value.numel() as u64)?;
        let copy = copy(value).map_err(|error| fault(operation, &[value], &error))?;
        let kept = self.recorder.step(Stop::Copy.into(), &[place], &[&copy]);
        self.recorder.effect(|| Some(Effect::Buffer(name.clone(), kept?)));
        self.state.add_buffer(name, copy);
        Ok(())
    }

    fn state_room(&mut self, name: &str, tensor: &Tensor) -> std::result::Result<(), HostFault> {
        over("state-tensors", self.limits.state_tensors.into(), self.state.tensors_alive() + 1)?;
        let wanted = self.state.bytes() + bytes(tensor) + name.len() as u64;
        over("state-bytes", self.limits.state_bytes, wanted)
    }
}
