//! The interface `state` of the contract: parameters and buffers that the host owns for a slot.

use std::collections::BTreeMap;

use tch::{TchError, Tensor};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::lossmith::plugin::state as wit;
use super::host::{Host, HostFault, describe, fault, is_float};

/// A trainable tensor of a slot.
#[derive(Debug)]
pub struct Parameter {
    /// A leaf that requires a gradient.
    pub tensor: Tensor,
    /// Its learning rate is the run's times this.
    pub learning_rate_multiplier: f64,
}

/// All that a slot keeps between calls. Additions of a call are kept only when the call ends well.
#[derive(Debug, Default)]
pub struct State {
    /// Trainable tensors by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// Other tensors by name, without gradient.
    pub buffers: BTreeMap<String, Tensor>,
    new_parameters: BTreeMap<String, Parameter>,
    new_buffers: BTreeMap<String, Tensor>,
}

impl State {
    /// Keeps what the call added.
    pub(super) fn commit(&mut self) {
        self.parameters.append(&mut self.new_parameters);
        self.buffers.append(&mut self.new_buffers);
    }

    /// Forgets what the call added.
    pub(super) fn discard(&mut self) {
        self.new_parameters.clear();
        self.new_buffers.clear();
    }

    fn bytes(&self) -> u64 {
        let parameters = self.parameters.values().chain(self.new_parameters.values()).map(|p| &p.tensor);
        let buffers = self.buffers.values().chain(self.new_buffers.values());
        parameters.chain(buffers).map(bytes).sum()
    }
}

fn bytes(tensor: &Tensor) -> u64 {
    tensor.numel() as u64 * tensor.kind().elt_size_in_bytes() as u64
}

fn copy(tensor: &Tensor) -> std::result::Result<Tensor, TchError> {
    let tensor = tensor.f_detach()?;
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(&tensor)?;
    Ok(copy)
}

fn wrong(operation: &'static str, inputs: &[&Tensor], message: String) -> HostFault {
    HostFault::Operation { operation, shapes: describe(inputs), message }
}

impl wit::Host for Host {
    fn parameter(&mut self, name: String) -> Result<Option<Resource<Tensor>>> {
        let state = &self.state;
        let found = state.parameters.get(&name).or_else(|| state.new_parameters.get(&name));
        let found = found.map(|parameter| parameter.tensor.shallow_clone());
        found.map(|tensor| self.push("state.parameter", tensor)).transpose()
    }

    fn add_parameter(&mut self, name: String, initial: Resource<Tensor>, multiplier: f64) -> Result<Resource<Tensor>> {
        const NAME: &str = "state.add-parameter";
        self.charge_text(name.len())?;
        let initial = self.tensor(NAME, &initial)?;
        if self.state.parameters.contains_key(&name) || self.state.new_parameters.contains_key(&name) {
            return Err(wrong(NAME, &[&initial], format!("the parameter `{name}` exists")).into());
        }
        if !is_float(initial.kind()) {
            return Err(wrong(NAME, &[&initial], format!("the parameter `{name}` must be float")).into());
        }
        if !multiplier.is_finite() || multiplier < 0.0 {
            return Err(wrong(NAME, &[&initial], format!("a learning-rate multiplier of {multiplier}")).into());
        }
        self.state_room(&initial)?;
        let tensor = copy(&initial)
            .and_then(|mut tensor| tensor.f_requires_grad_(true))
            .map_err(|error| fault(NAME, &[&initial], &error))?;
        let handle = tensor.shallow_clone();
        self.state.new_parameters.insert(name, Parameter { tensor, learning_rate_multiplier: multiplier });
        self.push(NAME, handle)
    }

    fn buffer(&mut self, name: String) -> Result<Option<Resource<Tensor>>> {
        let found = self.state.new_buffers.get(&name).or_else(|| self.state.buffers.get(&name));
        let found = found.map(Tensor::shallow_clone);
        found.map(|tensor| self.push("state.buffer", tensor)).transpose()
    }

    fn set_buffer(&mut self, name: String, value: Resource<Tensor>) -> Result<()> {
        const NAME: &str = "state.set-buffer";
        self.charge_text(name.len())?;
        let value = self.tensor(NAME, &value)?;
        if let Some(old) = self.state.new_buffers.get(&name).or_else(|| self.state.buffers.get(&name)) {
            if old.size() != value.size() || old.kind() != value.kind() {
                return Err(
                    wrong(NAME, &[old, &value], format!("the buffer `{name}` has another shape or dtype")).into()
                );
            }
        } else {
            self.state_room(&value)?;
        }
        self.charge(value.numel() as u64)?;
        let copy = copy(&value).map_err(|error| fault(NAME, &[&value], &error))?;
        self.state.new_buffers.insert(name, copy);
        Ok(())
    }
}

impl Host {
    fn state_room(&self, tensor: &Tensor) -> std::result::Result<(), HostFault> {
        let (value, wanted) = (self.limits.state_bytes, self.state.bytes() + bytes(tensor));
        if wanted > value {
            return Err(HostFault::Limit { limit: "state-bytes", value, wanted: Some(wanted) });
        }
        Ok(())
    }
}
