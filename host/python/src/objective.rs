//! Several strategies as one term of a sum: what an `[[objective]]` of an experiment is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lossmith_plugin::candidate::States;
use lossmith_plugin::objective::{ComputedOn, Objective as Term, Objectives};
use lossmith_plugin::{PluginError, Role};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tch::{Device, Kind};

use crate::batch::Batch;
use crate::called::Called;
use crate::error;
use crate::progress::Progress;
use crate::runtime::not_forked;
use crate::state::{Before, Kept, changed, state};
use crate::strategy::Strategy;
use crate::tensor::object;

/// What the names of its metrics and of its slots begin with.
const PLACE: &str = "objective.0";

/// A loss, or a transfer with or without a balance, with what chooses its thresholds and tuples, and a fusion.
#[pyclass(frozen, module = "lossmith._lossmith")]
pub(crate) struct Objective {
    strategies: Vec<Py<Strategy>>,
    weight: f64,
    on: ComputedOn,
    /// Those for each device and dtype that was asked for.
    made: Mutex<Vec<(Device, Kind, Objectives)>>,
}

/// What each strategy keeps, in the order of the strategies.
pub(crate) type AllKept<'a> = Vec<Vec<Kept<Bound<'a, PyAny>>>>;

#[pymethods]
impl Objective {
    /// `strategies` are one of each role at most. `on` is `embedding`, `fused` or `fused-only`.
    #[new]
    #[pyo3(signature = (strategies, weight=1.0, on="embedding"))]
    fn new(strategies: Vec<Py<Strategy>>, weight: f64, on: &str) -> PyResult<Self> {
        let on = match on {
            "embedding" => ComputedOn::Embedding,
            "fused" => ComputedOn::Fused,
            "fused-only" => ComputedOn::FusedOnly,
            other => {
                let text = format!("on is \"{other}\": expected \"embedding\", \"fused\" or \"fused-only\"");
                return Err(PyValueError::new_err(text));
            }
        };
        Ok(Self { strategies, weight, on, made: Mutex::default() })
    }

    /// Its value times its weight: a scalar.
    fn compute(&self, python: Python<'_>, batch: &Batch, kept: AllKept<'_>, progress: &Progress) -> PyResult<Called> {
        not_forked()?;
        let (device, float) = (batch.device, batch.float);
        let (states, before) = self.states(python, &kept, device, float)?;
        let tensors = batch.tensors(lossmith_plugin::objective::Batch::shallow_clone);
        // Nobody waits for them while they hold the interpreter's lock, which the call may need for a hook.
        let computed = python.detach(move || {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if !made.iter().any(|(d, f, _)| (*d, *f) == (device, float)) {
                match self.objectives(device, float)? {
                    Ok(new) => made.push((device, float, new)),
                    Err(error) => return Ok(Err(error.into())),
                }
            }
            let found = made.iter_mut().find(|(d, f, _)| (*d, *f) == (device, float));
            let (.., objectives) = found.ok_or_else(|| PyValueError::new_err("no objectives for this device"))?;
            objectives.put_states(states);
            let outcome = objectives.compute(&tensors, &progress.0);
            let states = objectives.take_states();
            Ok::<_, PyErr>(outcome.map(|outcome| (outcome, states)))
        });
        let (outcome, states) = computed?.map_err(|error| error::compute(python, error))?;
        let changed = self.places(python).zip(&before).map(|(place, before)| match states.get(&place) {
            Some(state) => changed(python, state, before),
            None => Ok(Vec::new()),
        });
        let changed = changed.collect::<PyResult<_>>()?;
        let lines = outcome.lines.into_iter().map(|(place, level, text)| (level, format!("{place}: {text}"))).collect();
        Called::new(python, object(python, &outcome.total)?, changed, outcome.metrics, lines)
    }
}

impl Objective {
    /// The states of the slots, by their places, and what they began with.
    pub(crate) fn states(
        &self,
        python: Python<'_>,
        kept: &AllKept<'_>,
        device: Device,
        float: Kind,
    ) -> PyResult<(States, Vec<Before>)> {
        let (mut states, mut all_before) = (BTreeMap::new(), Vec::new());
        for (place, kept) in self.places(python).zip(kept) {
            let (state, before) = state(kept, device, float)?;
            states.insert(place, state);
            all_before.push(before);
        }
        Ok((states, all_before))
    }

    /// Objectives with slots of their own.
    pub(crate) fn objectives(&self, device: Device, float: Kind) -> PyResult<Result<Objectives, PluginError>> {
        let mut slots = BTreeMap::new();
        for strategy in &self.strategies {
            let strategy = strategy.get();
            let slot = match strategy.slot(device, float)? {
                Ok(slot) => slot,
                Err(error) => return Ok(Err(error)),
            };
            if slots.insert(strategy.role(), slot).is_some() {
                return Err(PyValueError::new_err(format!("two strategies of the role {}", strategy.role())));
            }
        }
        let mut take = |role| slots.remove(&role);
        let (loss, transfer, balance) = (take(Role::Loss), take(Role::Transfer), take(Role::Balance));
        let mut term = match (loss, transfer, balance) {
            (Some(loss), None, None) => Term::of_loss(PLACE.to_owned(), self.weight, self.on, loss),
            (None, Some(transfer), balance) => {
                Term::of_transfer(PLACE.to_owned(), self.weight, self.on, transfer, balance)
            }
            (Some(_), Some(_), _) => {
                return Err(PyValueError::new_err("an objective has either a loss or a transfer, not both"));
            }
            (_, None, Some(_)) => {
                return Err(PyValueError::new_err("a balance weighs the pair losses of a transfer: give one"));
            }
            (None, None, None) => return Err(PyValueError::new_err("an objective needs a loss or a transfer")),
        };
        if let Some(schedule) = take(Role::Schedule) {
            term = term.with_schedule(schedule);
        }
        if let Some(miner) = take(Role::Miner) {
            term = term.with_miner(miner);
        }
        Ok(Ok(Objectives::new(vec![term], take(Role::Fusion))))
    }

    /// The places of the strategies, in their order.
    pub(crate) fn places<'a>(&'a self, _: Python<'a>) -> impl Iterator<Item = String> + 'a {
        self.strategies.iter().map(|strategy| match strategy.get().role() {
            Role::Fusion => "fusion".to_owned(),
            role => format!("{PLACE}.{role}"),
        })
    }
}
