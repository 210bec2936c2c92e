//! The interface `state` of the contract: parameters and buffers that the host owns for a slot.

use tch::Tensor;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::lossmith::plugin::state as wit;
use crate::dtype::is_float;
use crate::host::Host;
use crate::host_fault::{HostFault, describe, fault, over};
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
        found.map(|tensor| self.push("state.parameter", tensor)).transpose()
    }

    fn add_parameter(&mut self, name: String, initial: Resource<Tensor>, multiplier: f64) -> Result<Resource<Tensor>> {
        const NAME: &str = "state.add-parameter";
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
        self.push(NAME, handle)
    }

    fn replace_parameter(&mut self, name: String, value: Resource<Tensor>) -> Result<Resource<Tensor>> {
        const NAME: &str = "state.replace-parameter";
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
        self.push(NAME, handle)
    }

    fn buffer(&mut self, name: String) -> Result<Option<Resource<Tensor>>> {
        self.charge(name.len() as u64)?;
        let found = self.state.buffer(&name).map(Tensor::shallow_clone);
        found.map(|tensor| self.push("state.buffer", tensor)).transpose()
    }

    fn set_buffer(&mut self, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "state.set-buffer";
        self.charge_text(name.len())?;
        let value = self.tensor(NAME, &value)?;
        if let Some(old) = self.state.buffer(&name) {
            if old.size() != value.size() || old.kind() != value.kind() {
                return Err(
                    wrong(NAME, &[old, &value], format!("the buffer `{name}` has another shape or dtype")).into()
                );
            }
        } else {
            self.state_room(&name, &value)?;
        }
        self.keep_buffer(NAME, name, &value)
    }

    fn replace_buffer(&mut self, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "state.replace-buffer";
        self.charge_text(name.len())?;
        let value = self.tensor(NAME, &value)?;
        if self.state.buffer(&name).is_none() {
            return Err(wrong(NAME, &[&value], format!("there is no buffer `{name}`")).into());
        }
        self.state_room(&name, &value)?;
        self.keep_buffer(NAME, name, &value)
    }
}

impl Host {
    fn keep_buffer(&mut self, operation: &'static str, name: String, value: &Tensor) -> Result<()> {
        self.charge(value.numel() as u64)?;
        let copy = copy(value).map_err(|error| fault(operation, &[value], &error))?;
        self.state.add_buffer(name, copy);
        Ok(())
    }

    fn state_room(&mut self, name: &str, tensor: &Tensor) -> std::result::Result<(), HostFault> {
        over("state-tensors", self.limits.state_tensors.into(), self.state.tensors_alive() + 1)?;
        let wanted = self.state.bytes() + bytes(tensor) + name.len() as u64;
        over("state-bytes", self.limits.state_bytes, wanted)
    }
}
