//! A slot: one strategy of one plugin at work, with a store of its own.
//!
//! Invariants: after a call no tensor of it is alive but its result; what the slot keeps between calls is its state,
//! its parameters and its report, never the instance. A trap spends the store, as does a plugin that keeps handles; the
//! next call makes a new one (about 10 us).

mod result;
mod roles;

use std::collections::BTreeSet;
use std::sync::Arc;

use tch::{Device, Kind};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::Params;
use crate::component::Plugin;
use crate::context::{Input, Progress};
use crate::description::Role;
use crate::engine::Runtime;
use crate::error::{Cause, Phase, PluginError};
use crate::fault::{arm, cause};
use crate::host::Host;
use crate::limits::Limits;
use crate::probe::{Cost, Probe};
use crate::report::Report;
use crate::state::State;

/// The setting of a slot: device, dtype, seed and limits.
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

/// A slot: a strategy of a plugin, bound with its parameters and its state.
pub struct Slot {
    runtime: Arc<Runtime>,
    plugin: Arc<Plugin>,
    role: Role,
    strategy: String,
    params: Arc<Params>,
    setting: Setting,
    live: Option<LiveInstance>,
    /// The state that survives the store.
    state: State,
    report: Report,
    /// Names of all metrics that it ever reported.
    metric_names: BTreeSet<String>,
    probe: Probe,
    /// Columns of embeddings and their slices, and columns of what a fusion made of them last.
    fused: Option<([i64; 2], i64)>,
}

struct LiveInstance {
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

    /// The strategy's role.
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

    /// The probe: the observations of calls, and the cost of the last one.
    pub fn probe_mut(&mut self) -> &mut Probe {
        &mut self.probe
    }

    /// Metrics and log lines of the strategy since they were last taken.
    pub fn take_report(&mut self) -> Report {
        std::mem::take(&mut self.report)
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

    fn instantiate(&self) -> Result<LiveInstance, PluginError> {
        let Setting { device, float, seed, slot, limits } = &self.setting;
        let host = Host::new(Arc::clone(limits), *device, *float, *seed, *slot, Arc::clone(&self.params));
        let mut store = Store::new(&self.runtime.engine, host);
        store.data_mut().sdk = Arc::clone(&self.plugin.sdk);
        arm(&mut store);
        match self.plugin.pre.instantiate(&mut store) {
            Ok(instance) => Ok(LiveInstance { store, instance }),
            Err(fault) => Err(self.plugin.error(Phase::Instantiate, cause(&mut store, &fault))),
        }
    }

    fn phase(&self) -> Phase {
        Phase::Call { role: self.role, strategy: self.strategy.clone() }
    }
}
