//! Parameters and buffers of a strategy. They belong to the caller: each call gets them, and gives back what it
//! changed.

use std::collections::BTreeMap;

use lossmith_plugin::{State, StateParameter};
use lossmith_torch_shim::address_of;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tch::{Device, Kind};

use crate::tensor::{device_name, object, tensor};

/// A parameter or a buffer: its name, the tensor, and of a parameter the multiplier of the learning rate.
pub(crate) type Kept<T> = (String, T, Option<f64>);

/// The addresses of the tensors that a call began with, by name.
pub(crate) type Before = BTreeMap<String, usize>;

/// The state for a call on a device in a dtype.
pub(crate) fn state(kept: &[Kept<Bound<'_, PyAny>>], device: Device, float: Kind) -> PyResult<(State, Before)> {
    let (mut state, mut before) = (State::default(), Before::new());
    for (name, object, multiplier) in kept {
        let tensor = tensor(object, name)?;
        if tensor.device() != device || (multiplier.is_some() && tensor.kind() != float) {
            let (wanted, place) = (if float == Kind::Double { "float64" } else { "float32" }, device_name(device));
            return Err(PyValueError::new_err(format!(
                "`{name}` is of another dtype or on another device than the embeddings, which are {wanted} on \
                {place}: move the \
                 module there with .to(\"{place}\", torch.{wanted})"
            )));
        }
        before.insert(name.clone(), address_of(&tensor));
        match multiplier {
            Some(multiplier) => {
                let parameter = StateParameter { tensor, learning_rate_multiplier: *multiplier };
                state.parameters.insert(name.clone(), parameter);
            }
            None => drop(state.buffers.insert(name.clone(), tensor)),
        }
    }
    Ok((state, before))
}

/// What a call made or exchanged.
pub(crate) fn changed(python: Python<'_>, state: &State, before: &Before) -> PyResult<Vec<Kept<Py<PyAny>>>> {
    let parameters = state.parameters.iter().map(|(name, StateParameter { tensor, learning_rate_multiplier })| {
        (name, tensor, Some(*learning_rate_multiplier))
    });
    let all = parameters.chain(state.buffers.iter().map(|(name, tensor)| (name, tensor, None)));
    let new = all.filter(|(name, tensor, _)| before.get(*name) != Some(&address_of(tensor)));
    new.map(|(name, tensor, multiplier)| Ok((name.clone(), object(python, tensor)?, multiplier))).collect()
}
