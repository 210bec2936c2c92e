//! Parameters and buffers that the host owns for a slot.

use std::collections::BTreeMap;

use lossmith_torch_shim::meta;
use tch::{TchError, Tensor};

/// A trainable tensor of a slot.
#[derive(Debug)]
pub struct StateParameter {
    /// A leaf that requires a gradient.
    pub tensor: Tensor,
    /// Its learning rate is the run's times this.
    pub learning_rate_multiplier: f64,
}

/// All that a slot keeps between calls. Additions of a call are kept only when the call ends well.
#[derive(Debug, Default)]
pub struct State {
    /// Trainable tensors by name.
    pub parameters: BTreeMap<String, StateParameter>,
    /// Other tensors by name, without gradient.
    pub buffers: BTreeMap<String, Tensor>,
    /// Names of parameters that calls exchanged for another tensor, each once. Whoever trains them takes the names out.
    pub replaced: Vec<String>,
    new_parameters: BTreeMap<String, StateParameter>,
    new_buffers: BTreeMap<String, Tensor>,
    /// Bytes of all that lives during a call, once that was counted.
    counted: Option<u64>,
}

/// What a call added.
pub(super) struct Changes {
    parameters: BTreeMap<String, StateParameter>,
    buffers: BTreeMap<String, Tensor>,
}

impl State {
    /// A copy of all that is kept, which shares no memory with it.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn copy(&self) -> Result<Self, TchError> {
        let parameters = self.parameters.iter().map(|(name, parameter)| {
            let tensor = copy(&parameter.tensor)?.f_requires_grad_(true)?;
            let learning_rate_multiplier = parameter.learning_rate_multiplier;
            Ok((name.clone(), StateParameter { tensor, learning_rate_multiplier }))
        });
        let buffers = self.buffers.iter().map(|(name, tensor)| Ok((name.clone(), copy(tensor)?)));
        Ok(Self {
            parameters: parameters.collect::<Result<_, TchError>>()?,
            buffers: buffers.collect::<Result<_, TchError>>()?,
            ..Self::default()
        })
    }

    /// The same without values.
    ///
    /// # Errors
    /// What libtorch says.
    pub(super) fn on_meta(&self) -> Result<Self, TchError> {
        let parameters = self.parameters.iter().map(|(name, parameter)| {
            let learning_rate_multiplier = parameter.learning_rate_multiplier;
            Ok((name.clone(), StateParameter { tensor: meta(&parameter.tensor)?, learning_rate_multiplier }))
        });
        let buffers = self.buffers.iter().map(|(name, tensor)| Ok((name.clone(), meta(tensor)?)));
        Ok(Self {
            parameters: parameters.collect::<Result<_, TchError>>()?,
            buffers: buffers.collect::<Result<_, TchError>>()?,
            ..Self::default()
        })
    }

    /// All that is kept under names of a checkpoint, each beginning with `place`. A parameter's learning-rate
    /// multiplier is kept beside it.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn tensors(&self, place: &str) -> Result<BTreeMap<String, Tensor>, TchError> {
        let mut tensors = BTreeMap::new();
        for (name, StateParameter { tensor, learning_rate_multiplier }) in &self.parameters {
            tensors.insert(format!("{place}/parameter/{name}"), tensor.f_detach()?);
            let multiplier = Tensor::f_from_slice(&[*learning_rate_multiplier])?;
            tensors.insert(format!("{place}/multiplier/{name}"), multiplier);
        }
        let buffers = self.buffers.iter();
        tensors.extend(buffers.map(|(name, tensor)| (format!("{place}/buffer/{name}"), tensor.shallow_clone())));
        Ok(tensors)
    }

    /// Keeps what the call added.
    pub(super) fn commit(&mut self) {
        self.counted = None;
        for name in self.new_parameters.keys() {
            if self.parameters.contains_key(name) && !self.replaced.contains(name) {
                self.replaced.push(name.clone());
            }
        }
        self.parameters.append(&mut self.new_parameters);
        self.buffers.append(&mut self.new_buffers);
    }

    /// Takes away what the call added.
    pub(super) fn set_aside(&mut self) -> Changes {
        let changes = Changes {
            parameters: std::mem::take(&mut self.new_parameters),
            buffers: std::mem::take(&mut self.new_buffers),
        };
        self.discard();
        changes
    }

    /// Adds what was set aside.
    pub(super) fn put_back(&mut self, changes: Changes) {
        self.discard();
        self.new_parameters = changes.parameters;
        self.new_buffers = changes.buffers;
    }

    /// Forgets what the call added.
    pub(super) fn discard(&mut self) {
        self.counted = None;
        self.new_parameters.clear();
        self.new_buffers.clear();
    }

    /// A parameter as this call sees it.
    pub(super) fn parameter(&self, name: &str) -> Option<&StateParameter> {
        self.new_parameters.get(name).or_else(|| self.parameters.get(name))
    }

    /// A buffer as this call sees it.
    pub(super) fn buffer(&self, name: &str) -> Option<&Tensor> {
        self.new_buffers.get(name).or_else(|| self.buffers.get(name))
    }

    /// Bytes of all that lives during the call: what was replaced and what replaces it, with their names.
    pub(super) fn bytes(&mut self) -> u64 {
        let Self { parameters, buffers, new_parameters, new_buffers, counted, .. } = self;
        *counted.get_or_insert_with(|| {
            let parameters = parameters.iter().chain(new_parameters.iter()).map(|(name, p)| (name, &p.tensor));
            let buffers = buffers.iter().chain(new_buffers.iter());
            parameters.chain(buffers).map(|(name, tensor)| bytes(tensor) + name.len() as u64).sum()
        })
    }

    /// Parameters and buffers of all that lives during the call.
    pub(super) fn tensors_alive(&self) -> u64 {
        let Self { parameters, buffers, new_parameters, new_buffers, .. } = self;
        (parameters.len() + buffers.len() + new_parameters.len() + new_buffers.len()) as u64
    }

    pub(super) fn add_parameter(&mut self, name: String, parameter: StateParameter) {
        self.count(&name, &parameter.tensor);
        if let Some(before) = self.new_parameters.insert(name.clone(), parameter) {
            self.uncount(&name, &before.tensor);
        }
    }

    pub(super) fn add_buffer(&mut self, name: String, tensor: Tensor) {
        self.count(&name, &tensor);
        if let Some(before) = self.new_buffers.insert(name.clone(), tensor) {
            self.uncount(&name, &before);
        }
    }

    fn count(&mut self, name: &str, tensor: &Tensor) {
        self.counted = self.counted.map(|counted| counted + bytes(tensor) + name.len() as u64);
    }

    fn uncount(&mut self, name: &str, tensor: &Tensor) {
        self.counted = self.counted.map(|counted| counted.saturating_sub(bytes(tensor) + name.len() as u64));
    }
}

pub(super) fn bytes(tensor: &Tensor) -> u64 {
    tensor.numel() as u64 * tensor.kind().elt_size_in_bytes() as u64
}

pub(super) fn copy(tensor: &Tensor) -> Result<Tensor, TchError> {
    let tensor = tensor.f_detach()?;
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(&tensor)?;
    Ok(copy)
}
