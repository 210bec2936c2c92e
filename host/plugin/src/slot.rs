//! A slot: one strategy of one plugin at work, with a store of its own.
//!
//! Invariants: after a call no tensor of it is alive but its result; what the slot keeps between calls is its state, its
//! parameters and its report, never the instance. A trap spends the store, as does a plugin that keeps handles; the next call
//! makes a new one (about 10 us).

use std::collections::BTreeSet;
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use wasmtime::Store;
use wasmtime::component::{Instance, Resource};

use crate::Params;
use crate::component::Plugin;
use crate::context::{Input, PairLosses, Progress, Tuples};
use crate::description::Role;
use crate::dtype::dtype_name;
use crate::engine::Runtime;
use crate::error::{Cause, Phase, PluginError, ResultFault};
use crate::fault::{arm, cause};
use crate::handles::StaleHandle;
use crate::host::Host;
use crate::limits::Limits;
use crate::printable::printable_lines;
use crate::probe::{Cost, Probe};
use crate::report::Report;
use crate::state::State;

/// Where and how a slot computes.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Device of all tensors.
    pub device: Device,
    /// What the contract calls float.
    pub float: Kind,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the slot in the run, for its random stream.
    pub slot: u64,
    /// Limits of each call.
    pub limits: Arc<Limits>,
}

/// A strategy at work.
pub struct Slot {
    runtime: Arc<Runtime>,
    plugin: Arc<Plugin>,
    role: Role,
    strategy: String,
    params: Arc<Params>,
    setting: Setting,
    live: Option<Live>,
    /// What survives the store.
    state: State,
    report: Report,
    /// Names of all metrics that it ever reported.
    metric_names: BTreeSet<String>,
    probe: Probe,
    /// Columns of embeddings and their slices, and columns of what a fusion made of them last.
    fused: Option<([i64; 2], i64)>,
}

/// Largest threshold in absolute value: squares of it, and sums of them, are finite in 32 bits.
const THRESHOLD: f64 = 1e12;

/// A miner of a small batch may draw a tuple again and again, up to so many.
const DRAWN: u64 = 1 << 20;

struct Live {
    store: Store<Host>,
    instance: Instance,
}

type Outcome<T> = Result<T, Cause>;

impl Slot {
    /// Binds a strategy to a slot. `params` must come from the strategy's description.
    ///
    /// # Errors
    /// When the plugin has no such strategy.
    pub fn new(
        runtime: Arc<Runtime>,
        plugin: Arc<Plugin>,
        role: Role,
        strategy: &str,
        params: Params,
        setting: Setting,
    ) -> Result<Self, PluginError> {
        plugin.strategy(role, strategy)?;
        Ok(Self {
            runtime,
            plugin,
            role,
            strategy: strategy.to_owned(),
            params: Arc::new(params),
            setting,
            live: None,
            state: State::default(),
            report: Report::default(),
            metric_names: BTreeSet::new(),
            probe: Probe::default(),
            fused: None,
        })
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What the strategy does.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The strategy's name.
    #[must_use]
    pub fn strategy(&self) -> &str {
        &self.strategy
    }

    /// The strategy's parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Parameters and buffers.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Parameters and buffers, to set them from a checkpoint.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// What calls are watched for, and what the last one took.
    pub fn probe_mut(&mut self) -> &mut Probe {
        &mut self.probe
    }

    /// What the strategy said since this was last asked.
    pub fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
    }

    /// The loss of a batch: a float scalar with gradient.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn loss(&mut self, input: Input, progress: &Progress) -> Result<Tensor, PluginError> {
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.loss, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_compute(&mut *store, strategy, params, batch, progress);
            scalar(store, result)
        })
    }

    /// Tuples of a batch, all positions inside it.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn mine(&mut self, input: Input, progress: &Progress) -> Result<Tuples, PluginError> {
        let size = input.embeddings.as_ref().map_or(0, |x| x.size().first().copied().unwrap_or_default());
        let last = size - 1;
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.miner, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_mine(&mut *store, strategy, params, batch, progress);
            let handle = refused(store, result)?;
            let tuples = store.data_mut().tuples.take(handle.rep()).map_err(stale)?;
            countable(store.data(), &tuples, size.unsigned_abs())?;
            for part in tuples.parts().iter().filter(|part| part.numel() > 0) {
                let bound = |end: Result<Tensor, tch::TchError>| end.and_then(|end| end.f_int64_value(&[]));
                let (low, high) = (bound(part.f_min()), bound(part.f_max()));
                let (low, high) = low.and_then(|low| Ok((low, high?))).map_err(|error| broken(&error))?;
                if low < 0 || high > last {
                    return Err(Cause::Result(ResultFault::OutsideBatch { low, high, last }));
                }
            }
            Ok(tuples)
        })
    }

    /// Pair losses of a batch, B x B with gradient.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn transfer(&mut self, input: Input, progress: &Progress) -> Result<PairLosses, PluginError> {
        let size = input.embeddings.as_ref().map_or(0, |x| x.size().first().copied().unwrap_or_default());
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.transfer, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_compute(&mut *store, strategy, params, batch, progress);
            let handle = refused(store, result)?;
            let pairs = store.data_mut().pair_losses.take(handle.rep()).map_err(stale)?;
            let found = pairs.values.size();
            if found != [size, size] {
                let fault = ResultFault::Shape { what: "pair losses", found, expected: format!("[{size}, {size}]") };
                return Err(Cause::Result(fault));
            }
            if !(pairs.divisor.is_finite() && pairs.divisor > 0.0) {
                return Err(Cause::Result(ResultFault::Divisor(pairs.divisor)));
            }
            differentiable(store.data(), &pairs.values)?;
            Ok(pairs)
        })
    }

    /// Weighs pair losses into a float scalar with gradient. True if it was made of their values alone, not of their parts.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn balance(
        &mut self,
        pairs: PairLosses,
        input: Input,
        progress: &Progress,
    ) -> Result<(Tensor, bool), PluginError> {
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.balance, |indices| indices.load(&mut *store, instance))?;
            let pairs = store.data_mut().push_pair_losses(pairs).map_err(|fault| cause(store, &fault))?;
            let lent = Resource::new_borrow(pairs.rep());
            let (params, batch, progress) = context_handles();
            let result = guest.call_weigh(&mut *store, strategy, params, lent, batch, progress);
            let value = scalar(store, result);
            // The host lent this one; it is not the plugin's to keep.
            let lent = store.data_mut().pair_losses.take(pairs.rep()).map_err(stale);
            Ok((value?, !lent?.parts_given))
        })
    }

    /// A finite threshold for each slice.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn thresholds(&mut self, input: Input, progress: &Progress) -> Result<Vec<f64>, PluginError> {
        let expected = input.slice_count;
        self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.schedule, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_thresholds(&mut *store, strategy, params, batch, progress);
            let thresholds = refused(store, result)?;
            if thresholds.len() as i64 != expected {
                return Err(Cause::Result(ResultFault::ThresholdCount { found: thresholds.len(), expected }));
            }
            match thresholds.iter().find(|threshold| !threshold.is_finite() || threshold.abs() > THRESHOLD) {
                Some(threshold) if threshold.is_finite() => Err(Cause::Result(ResultFault::Threshold(*threshold))),
                Some(threshold) => Err(Cause::Result(ResultFault::NotFinite(*threshold))),
                None => Ok(thresholds),
            }
        })
    }

    /// One embedding per image, B x D'.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn fuse(&mut self, input: Input, progress: &Progress) -> Result<Tensor, PluginError> {
        let sizes = input.embeddings.as_ref().map_or_else(Vec::new, Tensor::size);
        let (size, dimension) = (sizes.first().copied().unwrap_or_default(), sizes.get(1).copied().unwrap_or_default());
        let like = [dimension, input.slice_count];
        let before = self.fused.filter(|(known, _)| *known == like).map(|(_, columns)| columns);
        let fused = self.call(input, progress, |store, instance, plugin, strategy| {
            let guest = load(&plugin.roles.fusion, |indices| indices.load(&mut *store, instance))?;
            let (params, batch, progress) = context_handles();
            let result = guest.call_fuse(&mut *store, strategy, params, batch, progress);
            let fused = take(store, result)?;
            let found = fused.size();
            if found.len() != 2 || found.first() != Some(&size) {
                let expected = format!("[{size}, any]");
                return Err(Cause::Result(ResultFault::Shape { what: "a fused embedding", found, expected }));
            }
            let columns = found.get(1).copied().unwrap_or_default();
            let limit = store.data().limits.fused_columns;
            if columns.unsigned_abs() > limit {
                let wanted = Some(columns.unsigned_abs());
                return Err(Cause::Limit { limit: "fused-columns", value: limit, wanted, place: None });
            }
            if columns == 0 {
                let expected = format!("[{size}, 1 or more]");
                return Err(Cause::Result(ResultFault::Shape { what: "a fused embedding", found, expected }));
            }
            if let Some(before) = before.filter(|before| *before != columns) {
                return Err(Cause::Result(ResultFault::Columns { found: columns, before }));
            }
            differentiable(store.data(), &fused)?;
            if fused.device() == Device::Cpu {
                let foreign = fused.f_isfinite().and_then(|finite| fused.f_masked_select(&finite.f_logical_not()?));
                let foreign = foreign.map_err(|error| broken(&error))?;
                if foreign.numel() > 0 {
                    let number = foreign.f_double_value(&[0]).map_err(|error| broken(&error))?;
                    return Err(Cause::Result(ResultFault::NotFinite(number)));
                }
            }
            Ok(fused)
        })?;
        self.fused = Some((like, fused.size().get(1).copied().unwrap_or_default()));
        Ok(fused)
    }

    /// An error if fused embeddings of so many rows and columns are too much to hold.
    ///
    /// # Errors
    /// A fault of the plugin.
    pub fn joined(&self, rows: i64, columns: i64) -> Result<(), PluginError> {
        let Setting { float, limits, .. } = &self.setting;
        let elements = rows.unsigned_abs().saturating_mul(columns.unsigned_abs());
        let wanted = elements.saturating_mul(float.elt_size_in_bytes() as u64);
        if wanted <= limits.fused_bytes {
            return Ok(());
        }
        let limit = Cause::Limit { limit: "fused-bytes", value: limits.fused_bytes, wanted: Some(wanted), place: None };
        Err(self.blame(limit))
    }

    /// A fault of the slot's strategy that came out after its call.
    #[must_use]
    pub fn blame(&self, cause: Cause) -> PluginError {
        self.plugin.error(self.phase(), cause)
    }

    /// Runs one call: arms the limits, hands over state and input, and takes back what is to be kept.
    fn call<T>(
        &mut self,
        input: Input,
        progress: &Progress,
        run: impl FnOnce(&mut Store<Host>, &Instance, &Plugin, &str) -> Outcome<T>,
    ) -> Result<T, PluginError> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.instantiate()?,
        };
        let host = live.store.data_mut();
        host.input = input;
        host.progress.clone_from(progress);
        host.state = std::mem::take(&mut self.state);
        host.report = std::mem::take(&mut self.report);
        host.metric_names = std::mem::take(&mut self.metric_names);
        host.probe = Probe { cost: Cost::default(), ..std::mem::take(&mut self.probe) };
        arm(&mut live.store);
        let outcome = run(&mut live.store, &live.instance, &self.plugin, &self.strategy);
        let host = live.store.data_mut();
        self.state = std::mem::take(&mut host.state);
        self.report = std::mem::take(&mut host.report);
        self.metric_names = std::mem::take(&mut host.metric_names);
        let kept = host.end_call();
        let numbers_left =
            !host.tensors.nearly_used_up() && !host.tuples.nearly_used_up() && !host.pair_losses.nearly_used_up();
        let reusable = kept == 0 && numbers_left;
        self.probe = std::mem::take(&mut host.probe);
        // An error only when the engine does not count fuel; ours does.
        self.probe.cost.fuel = self.setting.limits.fuel.saturating_sub(live.store.get_fuel().unwrap_or_default());
        match outcome {
            Ok(value) => {
                self.state.commit();
                if reusable {
                    self.live = Some(live);
                }
                Ok(value)
            }
            Err(cause) => {
                self.state.discard();
                self.probe.watch.ended(&cause, || format!("{} `{}`", self.role, self.strategy));
                let refused = matches!(cause, Cause::Refused(_));
                if refused && reusable {
                    self.live = Some(live);
                }
                Err(self.plugin.error(self.phase(), cause))
            }
        }
    }

    fn instantiate(&self) -> Result<Live, PluginError> {
        let Setting { device, float, seed, slot, limits } = &self.setting;
        let host = Host::new(Arc::clone(limits), *device, *float, *seed, *slot, Arc::clone(&self.params));
        let mut store = Store::new(&self.runtime.engine, host);
        store.data_mut().sdk = Arc::clone(&self.plugin.sdk);
        arm(&mut store);
        match self.plugin.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Live { store, instance }),
            Err(fault) => Err(self.plugin.error(Phase::Instantiate, cause(&mut store, &fault))),
        }
    }

    fn phase(&self) -> Phase {
        Phase::Call { role: self.role, strategy: self.strategy.clone() }
    }
}

/// Handles of params, batch and progress; there is one of each in a call.
fn context_handles() -> (Resource<Params>, Resource<Input>, Resource<Progress>) {
    (Resource::new_borrow(0), Resource::new_borrow(0), Resource::new_borrow(0))
}

fn load<I, G>(indices: &Option<I>, load: impl FnOnce(&I) -> wasmtime::Result<G>) -> Outcome<G> {
    let missing = || Cause::Invalid("the role is not exported".into());
    load(indices.as_ref().ok_or_else(missing)?).map_err(|fault| Cause::Invalid(format!("{fault:#}")))
}

/// A result that the strategy may have refused with a text.
fn refused<T>(store: &mut Store<Host>, result: wasmtime::Result<Result<T, String>>) -> Outcome<T> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(text)) => match store.data_mut().charge_text(text.len()) {
            Ok(()) => Err(Cause::Refused(printable_lines(&text, usize::MAX))),
            Err(fault) => Err(cause(store, &fault.into())),
        },
        Err(fault) => Err(cause(store, &fault)),
    }
}

fn take(store: &mut Store<Host>, result: wasmtime::Result<Result<Resource<Tensor>, String>>) -> Outcome<Tensor> {
    let handle = refused(store, result)?;
    Ok(store.data_mut().tensors.take(handle.rep()).map_err(stale)?.tensor)
}

/// A float scalar, finite as far as can be told without waiting for a device, with gradient.
fn scalar(store: &mut Store<Host>, result: wasmtime::Result<Result<Resource<Tensor>, String>>) -> Outcome<Tensor> {
    let value = take(store, result)?;
    if value.numel() != 1 {
        return Err(Cause::Result(ResultFault::NotScalar(value.size())));
    }
    differentiable(store.data(), &value)?;
    let value = if value.dim() == 0 { value } else { value.f_reshape([0_i64; 0]).map_err(|error| broken(&error))? };
    // On another device this would wait for it; there the trainer looks once per logging interval.
    if value.device() == Device::Cpu {
        let number = value.f_double_value(&[]).map_err(|error| broken(&error))?;
        if !number.is_finite() {
            return Err(Cause::Result(ResultFault::NotFinite(number)));
        }
    }
    Ok(value)
}

fn differentiable(host: &Host, value: &Tensor) -> Outcome<()> {
    float(host, value)?;
    let wanted = host.input.embeddings.as_ref().is_some_and(Tensor::requires_grad);
    if wanted && !value.requires_grad() { Err(Cause::Result(ResultFault::NoGradient)) } else { Ok(()) }
}

/// Whether tuples are as many as the limit and the batch allow.
fn countable(host: &Host, tuples: &Tuples, size: u64) -> Outcome<()> {
    let (what, power) = match tuples {
        Tuples::Triplets(_) => ("triplets", 3),
        Tuples::Pairs(_) => ("pairs of a kind", 2),
    };
    let (limit, different) = (host.limits.tuples, size.saturating_pow(power));
    let found = tuples.parts().iter().map(|part| part.numel() as u64).max().unwrap_or_default();
    if found > limit {
        return Err(Cause::Limit { limit: "tuples", value: limit, wanted: Some(found), place: None });
    }
    if found > different.max(DRAWN) {
        return Err(Cause::Result(ResultFault::Tuples { what, found, different }));
    }
    Ok(())
}

fn float(host: &Host, value: &Tensor) -> Outcome<()> {
    let found = value.kind();
    if found == host.float {
        return Ok(());
    }
    Err(Cause::Result(ResultFault::Dtype { found: dtype_name(found).to_owned(), expected: "float" }))
}

fn stale(_: StaleHandle) -> Cause {
    Cause::Result(ResultFault::Stale)
}

fn broken(error: &tch::TchError) -> Cause {
    Cause::Operation { operation: "result", shapes: "the result".into(), message: error.to_string(), place: None }
}
