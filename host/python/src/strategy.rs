//! A strategy: one of a component, with its parameters, called on batches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lossmith_plugin::{
    Input, Limits, PairLosses, Params, PluginError, Report, Role, Setting, Slot, State, Tuples, Value,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::batch::Batch;
use crate::called::Called;
use crate::component::Component;
use crate::error;
use crate::progress::Progress;
use crate::runtime::{not_forked, runtime};
use crate::state::{Kept, changed, state};
use crate::tensor::{object, tensor};

/// A strategy with its parameters. It keeps no state: parameters and buffers come with each call.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Strategy {
    bound: Binding,
    /// One for each device and dtype that was asked for.
    slots: Mutex<Vec<(Device, Kind, Slot)>>,
}

/// What a slot is made of.
struct Binding {
    plugin: Arc<lossmith_plugin::Plugin>,
    role: Role,
    name: String,
    params: Params,
    seed: u64,
    limits: Arc<Limits>,
}

/// Values of the parameters, of each type that one can have.
#[derive(FromPyObject)]
enum Given {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    Numbers(Vec<f64>),
}

impl From<Given> for Value {
    fn from(given: Given) -> Self {
        match given {
            Given::Boolean(value) => Self::Boolean(value),
            Given::Integer(value) => Self::Integer(value),
            Given::Number(value) => Self::Number(value),
            Given::Text(value) => Self::Text(value),
            Given::Numbers(value) => Self::Numbers(value),
        }
    }
}

#[pymethods]
impl Strategy {
    /// `params` are values by name, `limits` those of an experiment as JSON.
    #[new]
    #[pyo3(signature = (component, role, name, params, seed=0, limits="{}"))]
    fn new(
        python: Python<'_>,
        component: &Component,
        role: &str,
        name: &str,
        params: BTreeMap<String, Given>,
        seed: u64,
        limits: &str,
    ) -> PyResult<Self> {
        let role: Role = role.parse().map_err(|error| PyValueError::new_err(format!("{error}")))?;
        let limits = serde_json::from_str(limits).map_err(|error| PyValueError::new_err(format!("limits: {error}")))?;
        let plugin = Arc::clone(&component.plugin);
        let found = plugin.strategy(role, name).map_err(|error| error::plugin(python, error))?;
        let given = params.into_iter().map(|(name, value)| (name, value.into())).collect();
        let params = Params::new(found, &given).map_err(|error| {
            let (plugin, hash) = (plugin.name.clone(), plugin.hash.clone());
            let (phase, cause) = (lossmith_plugin::Phase::Configure, Box::new(error.into()));
            error::plugin(python, PluginError { plugin, hash, phase, cause })
        })?;
        let bound = Binding { plugin, role, name: name.to_owned(), params, seed, limits: Arc::new(limits) };
        Ok(Self { bound, slots: Mutex::default() })
    }

    /// Its parameters with all defaults, as JSON.
    #[getter]
    fn params(&self) -> PyResult<String> {
        serde_json::to_string(&self.bound.params).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// A call of a loss or a miner with a batch that is what most are; none, and nothing was computed, if it is not.
    #[expect(clippy::too_many_arguments, reason = "a batch, and what every call has")]
    fn usual(
        &self,
        python: Python<'_>,
        embeddings: &Bound<'_, PyAny>,
        labels: &Bound<'_, PyAny>,
        classes: i64,
        slices: i64,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
    ) -> PyResult<Option<Called>> {
        let Some(batch) = Batch::usual(embeddings, labels, classes, slices)? else { return Ok(None) };
        match self.bound.role {
            Role::Loss => self.loss(python, &batch, kept, progress).map(Some),
            Role::Miner => self.mine(python, &batch.detach()?, kept, progress).map(Some),
            Role::Transfer | Role::Balance | Role::Schedule | Role::Fusion => Ok(None),
        }
    }

    /// A loss: a scalar.
    fn loss(
        &self,
        python: Python<'_>,
        batch: &Batch,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
    ) -> PyResult<Called> {
        self.call(python, batch, &kept, |slot, input| slot.loss(input, &progress.0), |loss| object(python, &loss))
    }

    /// A miner: three or four vectors of positions.
    fn mine(
        &self,
        python: Python<'_>,
        batch: &Batch,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
    ) -> PyResult<Called> {
        let made = |tuples: Tuples| {
            let parts = tuples.parts().iter().map(|part| object(python, part));
            let parts: Vec<_> = parts.collect::<PyResult<_>>()?;
            Ok(pyo3::types::PyTuple::new(python, parts)?.into_any().unbind())
        };
        self.call(python, batch, &kept, |slot, input| slot.mine(input, &progress.0), made)
    }

    /// A transfer: pair losses B x B, what their sum is divided by, and the parts that they were made of.
    fn transfer(
        &self,
        python: Python<'_>,
        batch: &Batch,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
    ) -> PyResult<Called> {
        let made = |pairs: PairLosses| {
            let parts = pairs.parts.iter().map(|(name, part)| Ok((name.clone(), object(python, part)?)));
            let parts: BTreeMap<_, _> = parts.collect::<PyResult<_>>()?;
            let made = (object(python, &pairs.values)?, pairs.divisor, parts).into_pyobject(python)?;
            Ok(made.into_any().unbind())
        };
        self.call(python, batch, &kept, |slot, input| slot.transfer(input, &progress.0), made)
    }

    /// A balance of what a transfer returned: a scalar.
    #[expect(clippy::too_many_arguments, reason = "what a transfer returned, and what every call has")]
    fn balance(
        &self,
        python: Python<'_>,
        values: &Bound<'_, PyAny>,
        divisor: f64,
        parts: BTreeMap<String, Bound<'_, PyAny>>,
        batch: &Batch,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
    ) -> PyResult<Called> {
        let mut pairs = PairLosses::new(tensor(values, "pair losses")?, divisor);
        for (name, part) in parts {
            pairs.parts.insert(name, tensor(&part, "a part of pair losses")?);
        }
        let run = |slot: &mut Slot, input| slot.balance(pairs, input, &progress.0).map(|(value, _)| value);
        self.call(python, batch, &kept, run, |value: Tensor| object(python, &value))
    }

    /// A schedule: a threshold for each slice.
    fn thresholds(
        &self,
        python: Python<'_>,
        batch: &Batch,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
    ) -> PyResult<Called> {
        let made = |thresholds: Vec<f64>| Ok(thresholds.into_pyobject(python)?.into_any().unbind());
        self.call(python, batch, &kept, |slot, input| slot.thresholds(input, &progress.0), made)
    }

    /// A fusion: one embedding for each image.
    fn fuse(
        &self,
        python: Python<'_>,
        batch: &Batch,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
    ) -> PyResult<Called> {
        // A fusion is not told labels.
        let run = |slot: &mut Slot, input: Input| slot.fuse(Input { labels: None, ..input }, &progress.0);
        self.call(python, batch, &kept, run, |fused: Tensor| object(python, &fused))
    }
}

impl Strategy {
    /// A slot of its own for a device and a dtype.
    pub(crate) fn slot(&self, device: Device, float: Kind) -> PyResult<Result<Slot, PluginError>> {
        let Binding { plugin, role, name, params, seed, limits } = &self.bound;
        let setting = Setting { device, float, seed: *seed, slot: stream(*role), limits: Arc::clone(limits) };
        Ok(Slot::new(runtime()?, Arc::clone(plugin), *role, name, params.clone(), setting))
    }

    pub(crate) fn role(&self) -> Role {
        self.bound.role
    }

    /// Runs one call. Python goes on with other threads meanwhile.
    fn call<T: Send>(
        &self,
        python: Python<'_>,
        batch: &Batch,
        kept: &[Kept<Bound<'_, PyAny>>],
        run: impl FnOnce(&mut Slot, Input) -> Result<T, PluginError> + Send,
        made: impl FnOnce(T) -> PyResult<Py<PyAny>>,
    ) -> PyResult<Called> {
        not_forked()?;
        let (device, float) = (batch.device, batch.float);
        let (state, before) = state(kept, device, float)?;
        let input = batch.input();
        // Nobody waits for the slots while they hold the interpreter's lock, which the call in them may need for a
        // hook.
        let called = python.detach(|| {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if !slots.iter().any(|(d, f, _)| (*d, *f) == (device, float)) {
                match self.slot(device, float)? {
                    Ok(new) => slots.push((device, float, new)),
                    Err(error) => return Ok(Err(error)),
                }
            }
            let slot = slots.iter_mut().find(|(d, f, _)| (*d, *f) == (device, float));
            let (.., slot) = slot.ok_or_else(|| PyValueError::new_err("no slot for this device"))?;
            *slot.state_mut() = state;
            let value = run(slot, input);
            let (state, report) = (std::mem::take(slot.state_mut()), slot.take_report());
            Ok::<_, PyErr>(value.map(|value| (value, state, report)))
        });
        let (value, state, report): (T, State, Report) = called?.map_err(|error| error::plugin(python, error))?;
        let changed = vec![changed(python, &state, &before)?];
        Called::new(python, made(value)?, changed, report.metrics, report.lines)
    }
}

/// The number of a strategy's random stream: that of its role in the first objective of an experiment, so that it draws
/// here what it draws there.
fn stream(role: Role) -> u64 {
    match role {
        Role::Loss | Role::Transfer => 0,
        Role::Schedule => 1,
        Role::Miner => 2,
        Role::Balance => 3,
        Role::Fusion => 5,
    }
}
