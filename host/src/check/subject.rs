//! The subject of a check: one strategy with one choice of parameters, called with batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lossmith_plugin::{
    Cause, Computed, Cost, Input, Limits, Params, Plugin, Probe, Progress, ResultFault, Role, Runtime, Setting, Slot,
    State, Stopped, Value, Watch, Way, explain, is_finite, objective,
};
use tch::{Device, Kind, TchError, Tensor};

use super::batch::{TrialBatch, pair_losses};
use super::error::CheckError;

/// A strategy at work.
pub(crate) struct Subject {
    runtime: Arc<Runtime>,
    plugin: Arc<Plugin>,
    pub(crate) role: Role,
    pub(crate) strategy: String,
    device: Device,
    params: Params,
    progress: Progress,
    limits: Arc<Limits>,
    slots: BTreeMap<bool, Slot>,
    watch: Watch,
    /// Names of the metrics that it reported since it was restarted.
    metrics: BTreeSet<String>,
}

/// How much a strategy keeps after a call.
pub(crate) struct Kept {
    pub(crate) bytes: u64,
    /// Trainable ones, and buffers.
    pub(crate) tensors: u64,
    /// Names of metrics, over all calls.
    pub(crate) metrics: u64,
}

/// The output of a strategy for a batch, with gradients and cost.
pub(crate) struct StrategyOutput {
    pub(crate) output: Output,
    /// The embedding of a fusion, B x D'.
    pub(crate) fused: Option<Tensor>,
    /// Of the value with respect to the embeddings, B x D in 64 bits; none where there is no value.
    pub(crate) gradient: Option<Tensor>,
    /// With respect to the strategy's trainable tensors, in 64 bits.
    pub(crate) parameter_gradients: BTreeMap<String, Tensor>,
    pub(crate) cost: Cost,
    /// Values that no gradient flows through, if they were to be kept.
    pub(crate) stopped: Vec<Tensor>,
    /// The message about gradients that are not finite. Such an output is compared with nothing.
    pub(crate) not_finite: Option<String>,
}

/// The result itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// Of a loss, a transfer's sum, a balance; of a fusion, the sum of what it makes with fixed weights.
    Value(f64),
    /// Tuples, in a fixed order.
    Tuples(Vec<Vec<i64>>),
    Thresholds(Vec<f64>),
}

impl Output {
    pub(crate) fn value(&self) -> Option<f64> {
        if let Self::Value(value) = self { Some(*value) } else { None }
    }
}

impl Subject {
    pub(crate) fn new(
        runtime: &Arc<Runtime>,
        plugin: &Arc<Plugin>,
        role: Role,
        strategy: &str,
        given: &BTreeMap<String, Value>,
    ) -> Result<Self, CheckError> {
        let params = Params::new(plugin.strategy(role, strategy)?, given)?;
        let (runtime, plugin) = (Arc::clone(runtime), Arc::clone(plugin));
        // In the middle of a training.
        let progress = Progress { epoch: 1, epochs: 4, step: 10, steps_per_epoch: 10, ..Progress::default() };
        let (strategy, slots, watch) = (strategy.to_owned(), BTreeMap::new(), Watch::default());
        let (limits, metrics) = (Arc::default(), BTreeSet::new());
        let device = Device::Cpu;
        Ok(Self { runtime, plugin, role, strategy, device, params, progress, limits, slots, watch, metrics })
    }

    /// Lets it compute on a device, with batches that lie there.
    pub(crate) fn on(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Lets its plugin make each call step by step.
    pub(crate) fn without_programs(mut self) -> Self {
        self.limits = Arc::new(Limits { programs: 0, ..Limits::default() });
        self
    }

    /// Lets it believe that the training is at its first step, as `plugin eval` does.
    pub(crate) fn at_the_first_step(mut self) -> Self {
        self.progress = Progress { epochs: 1, steps_per_epoch: 1, ..Progress::default() };
        self
    }

    /// Forgets its instances, so that the next call has a new one.
    pub(crate) fn restart(&mut self) {
        self.slots.clear();
        self.metrics.clear();
    }

    /// A call as the step of a long epoch with this number, with what the last one kept. Returns what it keeps.
    pub(crate) fn next_call(
        &mut self,
        batch: &TrialBatch,
        state: State,
        number: u64,
    ) -> Result<(State, Kept), CheckError> {
        let now = self.progress.clone();
        self.progress.steps_per_epoch = 1000;
        self.progress.step = self.progress.epoch * self.progress.steps_per_epoch + number;
        let called = self.call(batch, Kind::Float, state, Stopped::Computed);
        self.progress = now;
        called?;
        let state = std::mem::take(self.slot(Kind::Float)?.state_mut());
        let parameters = state.parameters.values().map(|parameter| &parameter.tensor);
        let tensors: Vec<&Tensor> = parameters.chain(state.buffers.values()).collect();
        let bytes = tensors.iter().map(|tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64).sum();
        let kept = Kept { bytes, tensors: tensors.len() as u64, metrics: self.metrics.len() as u64 };
        Ok((state, kept))
    }

    /// Whether it has a value with a gradient.
    pub(crate) fn is_differentiable(&self) -> bool {
        !matches!(self.role, Role::Miner | Role::Schedule)
    }

    /// The state after a first call with this batch: trainable tensors and buffers.
    pub(crate) fn initial_state(&mut self, batch: &TrialBatch) -> Result<State, CheckError> {
        let called = self.call(batch, Kind::Double, State::default(), Stopped::Computed);
        called.map_err(|error| self.with_origin(error, batch, Kind::Double, &State::default()))?;
        let state = self.slot(Kind::Double)?.state().copy()?;
        Ok(state)
    }

    /// The value of a batch alone.
    pub(crate) fn value(&mut self, batch: &TrialBatch, state: &State, stopped: Stopped) -> Result<f64, CheckError> {
        let Called { output, .. } = self.call(batch, Kind::Double, state.copy()?, stopped)?;
        Ok(output.value().unwrap_or(f64::NAN))
    }

    /// All about a batch. `state` is the one before the call; values that no gradient flows through are kept. What is
    /// not finite is looked for, and the operation that made it.
    pub(crate) fn evaluate(
        &mut self,
        batch: &TrialBatch,
        float: Kind,
        state: &State,
    ) -> Result<StrategyOutput, CheckError> {
        let made = self.step(batch, float, state);
        let mut evaluation = made.map_err(|error| self.with_origin(error, batch, float, state))?;
        let of_embeddings = evaluation.gradient.iter().map(|gradient| ("the embeddings".to_owned(), gradient));
        let of_parameters =
            evaluation.parameter_gradients.iter().map(|(name, gradient)| (format!("`{name}`"), gradient));
        for (of, gradient) in of_embeddings.chain(of_parameters) {
            if is_finite(gradient)? {
                continue;
            }
            let count = gradient.f_isfinite()?.f_logical_not()?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
            let text = format!("{count} of {} derivatives with respect to {of} are not finite", gradient.numel());
            evaluation.not_finite = Some(match self.origin(batch, float, state)? {
                Some(origin) => format!("{text}: {origin}"),
                None => text,
            });
            break;
        }
        Ok(evaluation)
    }

    /// A call with its backward pass, as [`evaluate`](Self::evaluate), whatever comes out.
    pub(crate) fn step(
        &mut self,
        batch: &TrialBatch,
        float: Kind,
        state: &State,
    ) -> Result<StrategyOutput, CheckError> {
        let state = cast(state, float)?;
        let Called { output, fused, value, embeddings, cost, stopped } =
            self.call(batch, float, state, Stopped::Kept(Vec::new()))?;
        let mut parameter_gradients = BTreeMap::new();
        let gradient = match value {
            Some(value) => {
                if value.requires_grad() {
                    value.f_backward()?;
                }
                for (name, parameter) in &self.slot(float)?.state().parameters {
                    parameter_gradients.insert(name.clone(), gradient_of(&parameter.tensor)?);
                }
                Some(gradient_of(&embeddings)?)
            }
            None => None,
        };
        Ok(StrategyOutput { output, fused, gradient, parameter_gradients, cost, stopped, not_finite: None })
    }

    /// A call with its backward pass as a training makes it: nothing is observed, and what the last one kept is there.
    /// How it was made. On a device it is over only when the gradient is computed.
    pub(crate) fn train(&mut self, batch: &TrialBatch, float: Kind) -> Result<Way, CheckError> {
        let state = std::mem::take(self.slot(float)?.state_mut());
        let Called { value, embeddings, .. } = self.call(batch, float, state, Stopped::Computed)?;
        if let Some(value) = value {
            if value.requires_grad() {
                value.f_backward()?;
            }
            finish(&gradient_of(&embeddings)?)?;
        }
        Ok(self.slot(float)?.way())
    }

    /// The operation that made something that is not finite first, if it can be told.
    fn origin(&mut self, batch: &TrialBatch, float: Kind, state: &State) -> Result<Option<String>, TchError> {
        explain(|watch| {
            self.watch = watch.clone();
            let called = cast(state, float).map_err(CheckError::from);
            let called = called.and_then(|state| self.call(batch, float, state, Stopped::Computed));
            self.watch = Watch::default();
            let Called { value, embeddings, .. } = called.ok()?;
            let parameters = self.slot(float).ok()?.state().parameters.values();
            let leaves = parameters.map(|parameter| parameter.tensor.shallow_clone()).chain(Some(embeddings)).collect();
            Some(Computed { value: value?, leaves })
        })
    }

    /// Adds to the fault of a value that is not finite the operation that made it.
    fn with_origin(&mut self, error: CheckError, batch: &TrialBatch, float: Kind, state: &State) -> CheckError {
        match error {
            CheckError::Plugin(error) if matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_))) => {
                match self.origin(batch, float, state) {
                    Ok(Some(origin)) => CheckError::NotFinite { error, origin },
                    Ok(None) => CheckError::Plugin(error),
                    Err(error) => CheckError::Torch(error),
                }
            }
            other => other,
        }
    }

    fn slot(&mut self, float: Kind) -> Result<&mut Slot, CheckError> {
        let slot = match self.slots.remove(&(float == Kind::Double)) {
            Some(slot) => slot,
            None => {
                let limits = Arc::clone(&self.limits);
                let setting = Setting { device: self.device, float, seed: 0, slot: 0, limits };
                let (runtime, plugin) = (Arc::clone(&self.runtime), Arc::clone(&self.plugin));
                Slot::new(runtime, plugin, self.role, &self.strategy, self.params.clone(), setting)?
            }
        };
        Ok(self.slots.entry(float == Kind::Double).or_insert(slot))
    }

    /// A call in 64 bits on tensors that may come out of a graph, with its backward pass; then the state is what the
    /// call left. Returns the gradients with respect to its trainable tensors, too.
    pub(crate) fn through(
        &mut self,
        input: Input,
        state: State,
    ) -> Result<(Output, BTreeMap<String, Tensor>, State), CheckError> {
        let Called { output, value, .. } = self.call_on(input, Kind::Double, state, Stopped::Computed)?;
        if let Some(value) = value.filter(Tensor::requires_grad) {
            value.f_backward()?;
        }
        let state = std::mem::take(self.slot(Kind::Double)?.state_mut());
        let gradients = state.parameters.iter().map(|(name, kept)| Ok((name.clone(), gradient_of(&kept.tensor)?)));
        let gradients = gradients.collect::<Result<_, TchError>>()?;
        Ok((output, gradients, state))
    }

    fn call(&mut self, batch: &TrialBatch, float: Kind, state: State, stopped: Stopped) -> Result<Called, CheckError> {
        self.call_on(batch.input(float)?, float, state, stopped)
    }

    fn call_on(&mut self, input: Input, float: Kind, state: State, stopped: Stopped) -> Result<Called, CheckError> {
        let (role, progress, watch) = (self.role, self.progress.clone(), self.watch.clone());
        let slot = self.slot(float)?;
        *slot.state_mut() = state;
        *slot.probe_mut() = Probe { stopped, watch, ..Probe::default() };
        let embeddings = input.embeddings.as_ref().map(Tensor::shallow_clone).unwrap_or_default();
        let mut fused = None;
        let (output, value) = match role {
            Role::Loss => scalar(slot.loss(input, &progress)?)?,
            Role::Transfer => scalar(slot.transfer(input, &progress)?.total()?)?,
            Role::Balance => scalar(slot.balance(pair_losses(&input)?, input, &progress)?.0)?,
            Role::Fusion => {
                let made = slot.fuse(Input { labels: None, ..input }, &progress)?;
                let value = scalar(weighted(&made)?)?;
                fused = Some(made);
                value
            }
            Role::Miner => {
                let without = |x: Option<Tensor>| x.map(|x| x.f_detach()).transpose();
                let input = Input { embeddings: without(input.embeddings)?, ..input };
                let tuples = slot.mine(input, &progress)?;
                let parts = tuples.parts().iter().map(Vec::<i64>::try_from).collect::<Result<Vec<_>, _>>()?;
                (Output::Tuples(parts), None)
            }
            Role::Schedule => (Output::Thresholds(slot.thresholds(input, &progress)?), None),
        };
        let reported = slot.take_report().metrics.into_iter().map(|(name, _)| name);
        let probe = std::mem::take(slot.probe_mut());
        self.metrics.extend(reported);
        let stopped = if let Stopped::Kept(values) = probe.stopped { values } else { Vec::new() };
        Ok(Called { output, fused, value, embeddings, cost: probe.cost, stopped })
    }
}

struct Called {
    output: Output,
    fused: Option<Tensor>,
    value: Option<Tensor>,
    embeddings: Tensor,
    cost: Cost,
    stopped: Vec<Tensor>,
}

fn scalar(value: Tensor) -> Result<(Output, Option<Tensor>), TchError> {
    let number = value.f_double_value(&[])?;
    Ok((Output::Value(number), Some(value)))
}

/// One number of a fused embedding that changes with each of its columns, whatever the order of the images.
fn weighted(fused: &Tensor) -> Result<Tensor, TchError> {
    let columns = fused.size().get(1).copied().unwrap_or_default();
    let weights = Tensor::f_arange_start(1, columns + 1, (fused.kind(), fused.device()))?.f_cos()?;
    fused.f_square()?.f_add(fused)?.f_mul(&weights)?.f_sum(fused.kind())
}

/// The gradient of a leaf in 64 bits.
fn gradient_of(leaf: &Tensor) -> Result<Tensor, TchError> {
    objective::gradient_of(leaf)?.f_to_kind(Kind::Double)
}

/// Waits until a device has computed a gradient, by reading one number of it.
pub(crate) fn finish(gradient: &Tensor) -> Result<(), TchError> {
    if gradient.device() != Device::Cpu {
        gradient.f_flatten(0, -1)?.f_double_value(&[0])?;
    }
    Ok(())
}

/// A copy with another float dtype.
fn cast(state: &State, float: Kind) -> Result<State, TchError> {
    let mut copy = state.copy()?;
    for parameter in copy.parameters.values_mut() {
        parameter.tensor = parameter.tensor.f_detach()?.f_to_kind(float)?.f_requires_grad_(true)?;
    }
    for buffer in copy.buffers.values_mut().filter(|buffer| matches!(buffer.kind(), Kind::Double | Kind::Float)) {
        *buffer = buffer.f_to_kind(float)?;
    }
    Ok(copy)
}

/// The reason why a strategy did not compute a batch.
pub(crate) enum NotComputed {
    /// With a text of its own, which is what it should do.
    Told(String),
    /// By a fault.
    Fault(String),
}

/// Sorts the errors of a plugin from those of the check.
pub(crate) fn refusal(error: CheckError) -> Result<NotComputed, CheckError> {
    match error {
        CheckError::Plugin(error) => Ok(match &*error.cause {
            Cause::Refused(text) => NotComputed::Told(text.clone()),
            cause => NotComputed::Fault(cause.to_string()),
        }),
        CheckError::NotFinite { error, origin } => Ok(NotComputed::Fault(format!("{}; {origin}", error.cause))),
        other => Err(other),
    }
}
