//! The data of a slot's store: inputs, handles, state, and the work of a call counted so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lossmith_torch_shim::{Extent, extent};
use tch::{Device, Kind, Tensor};
use wasmtime::component::Resource;

use crate::charge::{self, Charge, Graph};
use crate::context::{Input, Progress};
use crate::dtype::is_float;
use crate::handles::Handles;
use crate::host_fault::{HostFault, fault, over, stale_handle};
use crate::limits::Limits;
use crate::memory_limit::MemoryLimit;
use crate::operation::{Op, Shape, Streams};
use crate::probe::{Cost, Probe};
use crate::program::{Observation, Recorder, Source, ValueId};
use crate::report::Report;
use crate::state::State;
use crate::storages::{StorageId, Storages};
use crate::{PairLosses, Params, Tuples};

/// How much longer than the deadline one operation may take.
const GRACE: Duration = Duration::from_secs(1);
/// Work from which on it is asked whether there is time for it: some tenths of a second.
const LONG: u64 = 100_000_000;

/// A tensor of a call, with its size as counted.
pub(super) struct Held {
    pub(super) tensor: Tensor,
    pub(super) kind: Kind,
    pub(super) elements: u64,
    storage: StorageId,
    /// Its place in the program that is recorded.
    pub(super) value: Option<ValueId>,
}

/// Tuples of a call, with the places of their parts in the program that is recorded.
pub(super) struct HeldTuples {
    pub(super) tuples: Tuples,
    pub(super) values: Vec<Option<ValueId>>,
}

/// Pair losses of a call.
pub(super) struct HeldPairs {
    pub(super) pairs: PairLosses,
    /// Whether the call began with them.
    pub(super) lent: bool,
    /// Where the call made them: the place of the matrix in the program that is recorded, and those of the parts.
    pub(super) value: Option<ValueId>,
    pub(super) parts: BTreeMap<String, Option<ValueId>>,
}

/// The data of a slot's store.
pub(super) struct Host {
    pub(super) limits: Arc<Limits>,
    pub(super) memory: MemoryLimit,
    pub(super) device: Device,
    /// The dtype that the contract calls float.
    pub(super) float: Kind,
    pub(super) seed: u64,
    pub(super) slot: u64,
    pub(super) tensors: Handles<Held>,
    pub(super) tuples: Handles<HeldTuples>,
    pub(super) pair_losses: Handles<HeldPairs>,
    pub(super) params: Arc<Params>,
    pub(super) input: Input,
    pub(super) progress: Progress,
    pub(super) state: State,
    pub(super) report: Report,
    /// Names of all metrics that the slot ever reported.
    pub(super) metric_names: BTreeSet<String>,
    pub(super) probe: Probe,
    pub(super) recorder: Recorder,
    /// Whether tensors of the call have shapes and no values.
    pub(super) on_meta: bool,
    pub(super) panic: Option<(String, String, u32)>,
    /// Folders whose code is the SDK's.
    pub(super) sdk: Arc<Vec<String>>,
    /// Elements read and written by host operations of this call.
    host_elements: u64,
    /// The part of `host_elements` that backward passes took.
    backward_elements: u64,
    /// Memory of the tensors of this call.
    storages: Storages,
    /// When this call must end.
    pub(super) until: Option<Instant>,
    /// Bytes of text taken from the plugin in this call.
    text_bytes: u64,
    /// How many random tensors this call has drawn.
    pub(super) draws: u64,
}

impl Host {
    pub(super) fn new(
        limits: Arc<Limits>,
        device: Device,
        float: Kind,
        seed: u64,
        slot: u64,
        params: Arc<Params>,
    ) -> Self {
        Self {
            memory: MemoryLimit::new(limits.memory_bytes),
            limits,
            device,
            float,
            seed,
            slot,
            tensors: Handles::default(),
            tuples: Handles::default(),
            pair_losses: Handles::default(),
            params,
            input: Input::default(),
            progress: Progress::default(),
            state: State::default(),
            report: Report::default(),
            metric_names: BTreeSet::new(),
            probe: Probe::default(),
            recorder: Recorder::Off,
            on_meta: false,
            panic: None,
            sdk: Arc::default(),
            host_elements: 0,
            backward_elements: 0,
            storages: Storages::default(),
            until: None,
            text_bytes: 0,
            draws: 0,
        }
    }

    /// What the random numbers of the call depend on.
    pub(super) fn streams(&self) -> Streams {
        Streams { seed: self.seed, slot: self.slot, step: self.progress.step }
    }

    /// What the call has cost so far, but its fuel.
    pub(super) fn cost(&self) -> Cost {
        Cost { host_elements: self.host_elements, draws: self.draws, ..self.probe.cost }
    }

    /// Frees all that the call made. Returns how many handles the plugin kept.
    pub(super) fn end_call(&mut self) -> usize {
        self.probe.cost = self.cost();
        self.host_elements = 0;
        self.backward_elements = 0;
        self.storages.clear();
        self.text_bytes = 0;
        self.draws = 0;
        self.input = Input::default();
        self.tensors.end_call() + self.tuples.end_call() + self.pair_losses.end_call()
    }

    /// Counts work; an error when the call has ordered too much.
    pub(super) fn charge(&mut self, elements: u64) -> Result<(), HostFault> {
        self.host_elements = self.host_elements.saturating_add(elements);
        over("host-elements", self.limits.host_elements, self.host_elements)
    }

    /// Asked before an operation runs, which nothing can stop then: an error when so much work, or memory, is too much.
    pub(super) fn admit(&self, work: u64, bytes: u64) -> Result<(), HostFault> {
        over("host-elements", self.limits.host_elements, self.host_elements.saturating_add(work))?;
        // Without values nothing takes time or memory.
        if self.on_meta {
            return Ok(());
        }
        over("tensor-bytes", self.limits.tensor_bytes, self.storages.bytes().saturating_add(bytes))?;
        if work > LONG { self.in_time(work) } else { Ok(()) }
    }

    /// An error when so much work would end long after the deadline.
    fn in_time(&self, work: u64) -> Result<(), HostFault> {
        let Some(until) = self.until else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now()) + GRACE;
        if Duration::from_nanos(work.saturating_mul(charge::NANOSECONDS)) <= left {
            return Ok(());
        }
        Err(HostFault::Limit { limit: "deadline-ms", value: self.limits.deadline_ms, wanted: None })
    }

    /// Counts a backward pass through all that the call has computed, before it runs.
    pub(super) fn charge_backward(&mut self) -> Result<(), HostFault> {
        let forward = self.host_elements - self.backward_elements;
        self.admit(forward, 0)?;
        self.backward_elements += forward;
        self.charge(forward)
    }

    /// Counts text taken from the plugin.
    pub(super) fn charge_text(&mut self, bytes: usize) -> Result<(), HostFault> {
        self.text_bytes = self.text_bytes.saturating_add(bytes as u64);
        over("log-bytes", self.limits.log_bytes, self.text_bytes)
    }

    /// An error when a tensor of so many elements would be too large, each of so many bytes. Asked before operations
    /// whose result can be larger than their inputs.
    pub(super) fn room(&self, elements: u64, size: u64) -> Result<(), HostFault> {
        over("tensor-elements", self.limits.tensor_elements, elements)?;
        self.admit(elements, elements.saturating_mul(size))
    }

    /// As `room`, for a shape that the plugin gives.
    pub(super) fn room_for(&self, operation: &'static str, shape: &[i64], size: u64) -> Result<u64, HostFault> {
        self.rank(shape)?;
        let mut elements = 1_u64;
        for &length in shape {
            let length = u64::try_from(length).map_err(|_| HostFault::Operation {
                operation,
                shapes: format!("shape {shape:?}"),
                message: "a size is negative".into(),
            })?;
            elements = elements.saturating_mul(length);
        }
        self.room(elements, size)?;
        Ok(elements)
    }

    /// An error when a list of sizes or dimensions is longer than a tensor can have.
    pub(super) fn rank(&self, dims: &[i64]) -> Result<(), HostFault> {
        over("rank", self.limits.rank.into(), dims.len() as u64)
    }

    /// Gives the plugin a handle of the result of an operation, in new memory.
    pub(super) fn push(
        &mut self,
        op: Op,
        inputs: &[&Resource<Tensor>],
        result: Tensor,
    ) -> wasmtime::Result<Resource<Tensor>> {
        let operation = op.name();
        let value = self.record(op, inputs, &[&result]);
        self.push_value(operation, result, None, value)
    }

    /// As `push`, for an operation with several results, each in memory of its own or, with `views`, in that of the
    /// first input.
    pub(super) fn push_all(
        &mut self,
        op: Op,
        inputs: &[&Resource<Tensor>],
        results: Vec<Tensor>,
        views: bool,
    ) -> wasmtime::Result<Vec<Resource<Tensor>>> {
        let operation = op.name();
        let base = match inputs.first() {
            Some(base) if views => Some(self.held(operation, base)?.storage),
            _ => None,
        };
        let first = self.record(op, inputs, &results.iter().collect::<Vec<_>>());
        let numbered = results.into_iter().enumerate();
        let push = |(place, result)| self.push_value(operation, result, base, first.map(|first| first.after(place)));
        numbered.map(push).collect()
    }

    /// Gives the plugin a handle of a view that an operation made of a tensor.
    pub(super) fn push_view(
        &mut self,
        op: Op,
        base: &Resource<Tensor>,
        result: Tensor,
    ) -> wasmtime::Result<Resource<Tensor>> {
        let operation = op.name();
        let storage = self.held(operation, base)?.storage;
        let value = self.record(op, &[base], &[&result]);
        self.push_value(operation, result, Some(storage), value)
    }

    /// Gives the plugin a handle of a tensor that the call began with.
    pub(super) fn push_input(
        &mut self,
        operation: &'static str,
        tensor: Tensor,
        source: impl FnOnce() -> Source,
    ) -> wasmtime::Result<Resource<Tensor>> {
        let value = self.recorder.input(source, &tensor);
        self.push_value(operation, tensor, None, value)
    }

    /// As `push_input`, for a tensor that may not be there.
    pub(super) fn push_optional(
        &mut self,
        operation: &'static str,
        tensor: Option<Tensor>,
        source: impl FnOnce() -> Source,
    ) -> wasmtime::Result<Option<Resource<Tensor>>> {
        match tensor {
            Some(tensor) => self.push_input(operation, tensor, source).map(Some),
            None => {
                self.recorder.observe(|| Observation::tensor(source(), None));
                Ok(None)
            }
        }
    }

    /// Tells the recorder of an operation.
    pub(super) fn record(&mut self, op: Op, inputs: &[&Resource<Tensor>], results: &[&Tensor]) -> Option<ValueId> {
        if !self.recorder.is_on() {
            return None;
        }
        let value = |handle: &&Resource<Tensor>| self.tensors.get(handle.rep()).ok().and_then(|held| held.value);
        let inputs: Vec<_> = inputs.iter().map(value).collect();
        self.recorder.step(op, &inputs, results)
    }

    /// Gives the plugin a handle of a tensor in the memory of another or in its own.
    pub(super) fn push_value(
        &mut self,
        operation: &'static str,
        tensor: Tensor,
        base: Option<StorageId>,
        value: Option<ValueId>,
    ) -> wasmtime::Result<Resource<Tensor>> {
        let kind = tensor.f_kind().map_err(|error| fault(operation, &[&tensor], &error))?;
        // An integer tensor and a fraction promote to libtorch's global default; the run's float is what was meant.
        let (tensor, kind, base, value) = if is_float(kind) && kind != self.float {
            let cast = tensor.f_to_kind(self.float).map_err(|error| fault(operation, &[&tensor], &error))?;
            let value = self.recorder.step(Shape::ToDtype { kind: self.float }.into(), &[value], &[&cast]);
            (cast, self.float, None, value)
        } else {
            (tensor, kind, base, value)
        };
        let Extent { elements, rank } = extent(&tensor).map_err(|error| fault(operation, &[&tensor], &error))?;
        over("tensor-elements", self.limits.tensor_elements, elements)?;
        over("rank", self.limits.rank.into(), rank)?;
        over("handles", self.limits.handles.into(), self.tensors.made() as u64 + 1)?;
        self.charge(elements)?;
        let storage = match base {
            Some(base) => self.storages.share(base),
            None => self.storages.add(elements * charge::size(kind)),
        };
        self.admit(0, 0)?;
        self.probe.watch.note(operation, &tensor)?;
        let handle = self.tensors.push(Held { tensor, kind, elements, storage, value });
        let cost = &mut self.probe.cost;
        cost.tensors = cost.tensors.max(self.tensors.live() as u64);
        cost.tensor_bytes = cost.tensor_bytes.max(self.storages.bytes());
        Ok(Resource::new_own(handle.ok_or(HostFault::Limit {
            limit: "handles",
            value: u64::from(u32::MAX),
            wanted: None,
        })?))
    }

    /// The memory of these tensors stays counted until the call ends: something that has no handle needs it.
    pub(super) fn keep(&mut self, handles: &[&Resource<Tensor>]) {
        for handle in handles {
            if let Ok(held) = self.tensors.get(handle.rep()) {
                self.storages.keep(held.storage);
            }
        }
    }

    /// Counts what autograd keeps of an operation until the backward pass, which no handle tells.
    pub(super) fn graph(
        &mut self,
        operation: &'static str,
        charge: Charge,
        inputs: &[&Resource<Tensor>],
        results: &[&Resource<Tensor>],
    ) -> Result<(), HostFault> {
        let differentiated = match results.first() {
            Some(result) if charge.graph != Graph::Nothing => self.held(operation, result)?.tensor.requires_grad(),
            _ => false,
        };
        if !differentiated {
            return Ok(());
        }
        match charge.graph {
            Graph::Nothing => {}
            Graph::Inputs => self.keep(inputs),
            Graph::Result => self.keep(results),
            Graph::Both => {
                self.keep(inputs);
                self.keep(results);
            }
        }
        for input in inputs.iter().take(if charge.hidden > 0 { inputs.len() } else { 0 }) {
            let held = self.held(operation, input)?;
            let bytes = held.elements.saturating_mul(charge::size(self.float) * charge.hidden);
            self.storages.hide(bytes);
        }
        Ok(())
    }

    /// A tensor that the plugin names.
    pub(super) fn held(&self, operation: &'static str, handle: &Resource<Tensor>) -> Result<&Held, HostFault> {
        self.tensors.get(handle.rep()).map_err(|stale| stale_handle(operation, stale))
    }

    /// Another handle of a tensor that the plugin names, for uses that outlive the borrow.
    pub(super) fn tensor(&self, operation: &'static str, handle: &Resource<Tensor>) -> Result<Tensor, HostFault> {
        Ok(self.held(operation, handle)?.tensor.shallow_clone())
    }

    /// Forgets a tensor; a stale handle is already forgotten.
    pub(super) fn release(&mut self, handle: u32) {
        if let Ok(held) = self.tensors.take(handle) {
            self.storages.release(held.storage);
        }
    }
}
