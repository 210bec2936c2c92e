//! A slot: one strategy of one plugin at work, with a store of its own.
//!
//! Invariants: after a call no tensor of it is alive but its result; what the slot keeps between calls is its state,
//! its parameters, its report and its programs, never the instance. A trap spends the store, as does a plugin that
//! keeps handles; the next call makes a new one (about 10 us). What comes out of a call does not depend on whether it
//! was recorded or replayed: what runs as one is computed so in the call that is recorded, too.

mod guest;
mod result;
mod roles;
mod shapes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lossmith_torch_shim::differentiates;
use tch::{Device, Kind, Tensor};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::Params;
use crate::component::Plugin;
use crate::context::{Input, PairLosses, Progress};
use crate::description::Role;
use crate::engine::Runtime;
use crate::error::{Cause, Phase, PluginError};
use crate::fault::{arm, cause};
use crate::fused::{Outline, Plan};
use crate::host::Host;
use crate::limits::Limits;
use crate::operation::Streams;
use crate::probe::{Cost, Probe};
use crate::program::{Effect, Program, Recorder, Returned, Situation, Way};
use crate::replay::{Programs, ReplayFault, Replayed, replay};
use crate::report::{Metric, Report};
use crate::state::State;
use guest::Guest;
use result::{Expected, Outcome};

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
    programs: Programs,
    way: Way,
    /// How many parameters and buffers there were when the plugin asked for values, so that shapes record nothing.
    reads_values_with: Option<u64>,
    /// Columns of embeddings and their slices, and columns of what a fusion made of them last.
    fused: Option<([i64; 2], i64)>,
}

struct LiveInstance {
    store: Store<Host>,
    instance: Instance,
}

/// What a call is made on.
struct Call<'a> {
    input: Input,
    /// The pair losses that a balance weighs.
    pairs: Option<PairLosses>,
    progress: &'a Progress,
}

impl<'a> Call<'a> {
    fn new(input: Input, progress: &'a Progress) -> Self {
        Self { input, pairs: None, progress }
    }

    /// What it is made in.
    fn situation(&'a self, state: &'a State, gradients: bool) -> Situation<'a> {
        let Self { input, pairs, progress } = self;
        Situation::new(input, pairs.as_ref(), progress, state, gradients)
    }

    /// The same call once more.
    fn again(&self) -> Self {
        let Self { input, pairs, progress } = self;
        Self { input: input.shallow_clone(), pairs: pairs.as_ref().map(PairLosses::shallow_clone), progress }
    }
}

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
            programs: Programs::default(),
            way: Way::Plain,
            reads_values_with: None,
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

    /// How the last call was made.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// How the program is run that was recorded or used last; none without one.
    #[must_use]
    pub fn outline(&self) -> Option<Outline> {
        self.programs.last().map(Plan::outline)
    }

    /// Has the plugin make the next call, whatever was recorded.
    pub fn forget_programs(&mut self) {
        self.programs = Programs::default();
        self.reads_values_with = None;
    }

    /// Makes one call: by a program that fits, else by the plugin, recorded. `finish` checks what is returned.
    fn call<T>(
        &mut self,
        call: Call<'_>,
        run: impl Fn(Guest<'_>, Option<PairLosses>) -> Outcome<Returned<Tensor>>,
        finish: impl Fn(&Expected, Returned<Tensor>) -> Outcome<T>,
    ) -> Result<T, PluginError> {
        let expected = Expected::new(&call.input, self.setting.float, &self.setting.limits);
        let gradients = if self.setting.limits.programs > 0 && self.probe.is_idle() { differentiates() } else { None };
        self.way = Way::Plain;
        if let Some(gradients) = gradients {
            let recorded =
                self.wants_shapes(&call.input) && !self.programs.has(&call.situation(&self.state, gradients));
            if recorded {
                self.record_shapes(&call, gradients, &run)?;
            }
            if let Some(value) = self.replay(&call, gradients, |returned| finish(&expected, returned))? {
                self.way = if recorded { Way::Recorded } else { Way::Replayed };
                return Ok(value);
            }
        }
        let again = gradients.map(|gradients| (gradients, call.again()));
        let lines = self.report.lines.len();
        let value = self.step_by_step(call, gradients, run, |returned| finish(&expected, returned))?;
        // What runs as one has other last bits, so its are those of the result from the first call on.
        let fused = self.way == Way::Recorded && self.programs.last().is_some_and(Plan::is_fused);
        if let Some((gradients, call)) = again.filter(|_| fused) {
            let (changes, lines) = (self.state.set_aside(), self.report.lines.split_off(lines));
            let again = self.replay(&call, gradients, |returned| finish(&expected, returned))?;
            self.way = Way::Recorded;
            if let Some(value) = again {
                return Ok(value);
            }
            self.state.put_back(changes);
            self.report.lines.extend(lines);
        }
        self.state.commit();
        Ok(value)
    }

    /// Makes a call by a program. None if there is none for it, and if it comes to a fault: the plugin then makes the
    /// call, and its fault has a place in its source. An error if it takes too long and the plugin's bits are others.
    fn replay<T>(
        &mut self,
        call: &Call<'_>,
        gradients: bool,
        finish: impl FnOnce(Returned<Tensor>) -> Outcome<T>,
    ) -> Result<Option<T>, PluginError> {
        let situation = call.situation(&self.state, gradients);
        let Some(plan) = self.programs.find(&situation) else { return Ok(None) };
        let Setting { seed, slot, limits, .. } = &self.setting;
        let streams = Streams { seed: *seed, slot: *slot, step: call.progress.step };
        let until = Instant::now().checked_add(Duration::from_millis(limits.deadline_ms));
        let replayed = replay(&plan, &situation, streams, until);
        if matches!(replayed, Err(ReplayFault::Deadline)) && plan.is_fused() {
            let value = limits.deadline_ms;
            return Err(self.blame(Cause::Limit { limit: "deadline-ms", value, wanted: None, place: None }));
        }
        let value = replayed.ok().and_then(|Replayed { returned, kept }| {
            let value = finish(returned).ok()?;
            self.leave(&plan.program, kept)?;
            Some(value)
        });
        if value.is_none() {
            self.programs.forget_last();
            return Ok(None);
        }
        self.probe.cost = plan.program.cost;
        Ok(value)
    }

    /// Keeps what a program leaves behind; `kept` are the tensors among it. None if the plugin may not report so much,
    /// which then finds that itself.
    fn leave(&mut self, program: &Program, kept: Vec<Tensor>) -> Option<()> {
        let (mut kept, mut lines, limits) = (kept.into_iter(), Vec::new(), &self.setting.limits);
        for effect in &program.effects {
            let (name, metric) = match effect {
                Effect::Metric(name, _) => (name, Metric::Tensor(kept.next()?)),
                Effect::Number(name, number) => (name, Metric::Number(*number)),
                Effect::Buffer(name, _) => {
                    self.state.add_buffer(name.clone(), kept.next()?);
                    continue;
                }
                Effect::Line(level, line) => {
                    lines.push((*level, line.clone()));
                    continue;
                }
            };
            if self.report.add_metric(&mut self.metric_names, limits, name.clone(), metric).is_err() {
                self.state.discard();
                return None;
            }
        }
        self.report.lines.append(&mut lines);
        self.state.commit();
        Some(())
    }

    /// Makes a call by the plugin: arms the limits, hands over state and input, and takes back what is to be kept. With
    /// `gradients` it is recorded.
    fn step_by_step<T>(
        &mut self,
        Call { input, pairs, progress }: Call<'_>,
        gradients: Option<bool>,
        run: impl FnOnce(Guest<'_>, Option<PairLosses>) -> Outcome<Returned<Tensor>>,
        finish: impl FnOnce(Returned<Tensor>) -> Outcome<T>,
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
        let limits = &self.setting.limits;
        let recorder = gradients.map(|gradients| Recorder::start(gradients, limits.program_operations));
        host.recorder = recorder.unwrap_or_default();
        arm(&mut live.store);
        let LiveInstance { store, instance } = &mut live;
        let guest = Guest { store, instance, plugin: &self.plugin, strategy: &self.strategy };
        let outcome = run(guest, pairs).and_then(finish);
        let host = live.store.data_mut();
        self.state = std::mem::take(&mut host.state);
        self.report = std::mem::take(&mut host.report);
        self.metric_names = std::mem::take(&mut host.metric_names);
        let recorder = std::mem::take(&mut host.recorder);
        let kept = host.end_call();
        let numbers_left =
            !host.tensors.nearly_used_up() && !host.tuples.nearly_used_up() && !host.pair_losses.nearly_used_up();
        let reusable = kept == 0 && numbers_left;
        self.probe = std::mem::take(&mut host.probe);
        // An error only when the engine does not count fuel; ours does.
        self.probe.cost.fuel = limits.fuel.saturating_sub(live.store.get_fuel().unwrap_or_default());
        match outcome {
            Ok(value) => {
                if reusable {
                    self.live = Some(live);
                }
                self.way = match recorder.finish(self.probe.cost) {
                    Ok(program) => {
                        let plan = match limits.fuse {
                            true => Plan::fused(program, self.setting.device, limits.matrix_bytes),
                            false => Plan::single(program),
                        };
                        self.programs.add(plan, limits.programs);
                        Way::Recorded
                    }
                    Err(Some(reason)) => Way::Unrecordable(reason),
                    Err(None) => Way::Plain,
                };
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
