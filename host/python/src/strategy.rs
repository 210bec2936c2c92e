//! A strategy: one of a component, with its parameters, called on batches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lossmith_plugin::{
    Input, Limits, PairLosses, Params, PluginError, Report, Role, Setting, Slot, State, Tuples, Value,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
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
            Role::Loss => self.call(python, &batch, kept, progress, None).map(Some),
            Role::Miner => self.call(python, &batch.detach()?, kept, progress, None).map(Some),
            Role::Transfer | Role::Balance | Role::Schedule | Role::Fusion => Ok(None),
        }
    }

    /// A call. Of a loss, a balance and a fusion it gives a tensor; of a miner three or four vectors of positions; of a
    /// schedule a threshold for each slice; of a transfer pair losses B x B, what their sum is divided by, and the
    /// parts that they were made of. These three are the `pairs` of a balance.
    #[pyo3(signature = (batch, kept, progress, pairs=None))]
    fn call(
        &self,
        python: Python<'_>,
        batch: &Batch,
        kept: Vec<Kept<Bound<'_, PyAny>>>,
        progress: &Progress,
        pairs: Option<Pairs<'_>>,
    ) -> PyResult<Called> {
        not_forked()?;
        let pairs = pairs.map(pair_losses).transpose()?;
        let (device, float) = (batch.device, batch.float);
        let (state, before) = state(&kept, device, float)?;
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
            let value = run(slot, input, &progress.0, pairs)?;
            let (state, report) = (std::mem::take(slot.state_mut()), slot.take_report());
            Ok::<_, PyErr>(value.map(|value| (value, state, report)))
        });
        let (value, state, report): (Made, State, Report) = called?.map_err(|error| error::plugin(python, error))?;
        let changed = vec![changed(python, &state, &before)?];
        Called::new(python, value.object(python)?, changed, report.metrics, report.lines)
    }
}

/// Pair losses, their divisor and their parts, as Python has them.
type Pairs<'a> = (Bound<'a, PyAny>, f64, BTreeMap<String, Bound<'a, PyAny>>);

fn pair_losses((values, divisor, parts): Pairs<'_>) -> PyResult<PairLosses> {
    let mut pairs = PairLosses::new(tensor(&values, "pair losses")?, divisor);
    for (name, part) in parts {
        pairs.parts.insert(name, tensor(&part, "a part of pair losses")?);
    }
    Ok(pairs)
}

/// What a call gives, by role.
enum Made {
    Tensor(Tensor),
    Tuples(Tuples),
    Pairs(PairLosses),
    Thresholds(Vec<f64>),
}

impl Made {
    fn object(self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self {
            Self::Tensor(tensor) => object(python, &tensor)?,
            Self::Tuples(tuples) => {
                let parts = tuples.parts().iter().map(|part| object(python, part));
                let parts: Vec<_> = parts.collect::<PyResult<_>>()?;
                PyTuple::new(python, parts)?.into_any().unbind()
            }
            Self::Pairs(pairs) => {
                let parts = pairs.parts.iter().map(|(name, part)| Ok((name.clone(), object(python, part)?)));
                let parts: BTreeMap<_, _> = parts.collect::<PyResult<_>>()?;
                (object(python, &pairs.values)?, pairs.divisor, parts).into_pyobject(python)?.into_any().unbind()
            }
            Self::Thresholds(thresholds) => thresholds.into_pyobject(python)?.into_any().unbind(),
        })
    }
}

/// Calls a slot as its role wants it.
fn run(
    slot: &mut Slot,
    input: Input,
    progress: &lossmith_plugin::Progress,
    pairs: Option<PairLosses>,
) -> PyResult<Result<Made, PluginError>> {
    Ok(match (slot.role(), pairs) {
        (Role::Loss, _) => slot.loss(input, progress).map(Made::Tensor),
        (Role::Miner, _) => slot.mine(input, progress).map(Made::Tuples),
        (Role::Transfer, _) => slot.transfer(input, progress).map(Made::Pairs),
        (Role::Balance, Some(pairs)) => slot.balance(pairs, input, progress).map(|(value, _)| Made::Tensor(value)),
        (Role::Balance, None) => {
            return Err(PyValueError::new_err("a balance weighs pair losses, and none were given"));
        }
        (Role::Schedule, _) => slot.thresholds(input, progress).map(Made::Thresholds),
        // A fusion is not told labels.
        (Role::Fusion, _) => slot.fuse(Input { labels: None, ..input }, progress).map(Made::Tensor),
    })
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
