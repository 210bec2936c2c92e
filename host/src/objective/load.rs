//! Loads the plugins that an experiment names, and makes the slots of their strategies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lossmith_plugin::{Cause, Limits, Params, Phase, Plugin, PluginError, Role, Runtime, Setting, Slot, stem};
use sha2::{Digest, Sha256};
use tch::{Device, Kind};

use super::error::ObjectiveError;
use crate::PluginFault;
use crate::experiment::{PluginSource, Source, StrategyConfig};
use crate::run::{Run, RunError};
use crate::standard::Standard;
use crate::toolchain::{self, Messages, Sources, UnderWay};

/// Loads plugins, each once.
pub struct Loader<'a> {
    runtime: Arc<Runtime>,
    source: &'a Source,
    place: Places<'a>,
    device: Device,
    seed: u64,
    limits: Arc<Limits>,
    messages: Messages,
    under_way: UnderWay,
    /// Compiled already, whatever file they came from.
    known: Vec<Arc<Plugin>>,
    plugins: BTreeMap<PluginSource, Arc<Plugin>>,
    /// What was built.
    sources: BTreeMap<PluginSource, Arc<Sources>>,
    bound: Vec<Bound>,
}

/// Where components are.
#[derive(Clone, Copy)]
pub enum Places<'a> {
    /// Where the experiment says; bare names are looked for here.
    Standard(&'a Standard),
    /// A run kept them, by slot.
    Run(&'a BTreeMap<String, PathBuf>),
}

/// A strategy that the experiment bound to a slot.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The slot's place in the experiment: `objective.0.loss`.
    pub slot: String,
    /// What it does.
    pub role: Role,
    /// The strategy.
    pub strategy: String,
    /// The component.
    pub plugin: Arc<Plugin>,
    /// Where the experiment says that it comes from.
    pub source: PluginSource,
    /// What it was built of, if it was built just now.
    pub sources: Option<Arc<Sources>>,
}

impl Bound {
    /// Keeps the component in a run, and what it was built of.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn keep_in(&self, run: &Run) -> Result<(), RunError> {
        run.store_plugin(&self.plugin.bytes)?;
        match &self.sources {
            Some(sources) => run.store_sources(&self.plugin.hash, sources.files()),
            None => Ok(()),
        }
    }
}

impl<'a> Loader<'a> {
    /// A loader for the strategies of one experiment.
    #[must_use]
    pub fn new(
        runtime: Arc<Runtime>,
        source: &'a Source,
        place: Places<'a>,
        device: Device,
        seed: u64,
        limits: Limits,
    ) -> Self {
        let (plugins, sources, bound) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (limits, messages, known) = (Arc::new(limits), Messages::Shown, Vec::new());
        let under_way = UnderWay::default();
        Self { runtime, source, place, device, seed, limits, messages, under_way, known, plugins, sources, bound }
    }

    /// Lets others see, and abandon, what is built.
    #[must_use]
    pub fn under_way(self, under_way: UnderWay) -> Self {
        Self { under_way, ..self }
    }

    /// Reuses these components where a file has the same bytes.
    #[must_use]
    pub fn knowing(self, known: Vec<Arc<Plugin>>) -> Self {
        Self { known, ..self }
    }

    /// Takes these components without looking at their files, and the messages of a compiler into the error.
    #[must_use]
    pub fn pinned(self, plugins: BTreeMap<PluginSource, Arc<Plugin>>) -> Self {
        Self { plugins, messages: Messages::Kept, ..self }
    }

    /// What was bound.
    #[must_use]
    pub fn into_bound(self) -> Vec<Bound> {
        self.bound
    }

    /// Binds a strategy to a slot. `place` is its key in the experiment, which errors point at; `number` is that of its
    /// random stream.
    ///
    /// # Errors
    /// When the plugin cannot be loaded, has no such strategy, or a parameter does not fit.
    pub fn slot(
        &mut self,
        place: &str,
        number: u64,
        role: Role,
        config: &StrategyConfig,
    ) -> Result<Slot, ObjectiveError> {
        let plugin = match self.plugins.get(&config.plugin) {
            Some(plugin) => Arc::clone(plugin),
            None => {
                let plugin = self.load(place, &config.plugin)?;
                self.plugins.insert(config.plugin.clone(), Arc::clone(&plugin));
                plugin
            }
        };
        let strategy = plugin.strategy(role, &config.strategy).map_err(|error| self.pointed(place, error))?;
        let params = Params::new(strategy, &config.params).map_err(|error| {
            let path = format!("{place}.params.{}", error.parameter());
            self.source.wrong_value(&path, error.to_string(), error.help())
        })?;
        let setting = Setting {
            device: self.device,
            float: Kind::Float,
            seed: self.seed,
            slot: number,
            limits: Arc::clone(&self.limits),
        };
        self.bound.push(Bound {
            slot: place.to_owned(),
            role,
            strategy: config.strategy.clone(),
            plugin: Arc::clone(&plugin),
            source: config.plugin.clone(),
            sources: self.sources.get(&config.plugin).cloned(),
        });
        Ok(Slot::new(Arc::clone(&self.runtime), plugin, role, &config.strategy, params, setting)?)
    }

    fn load(&mut self, slot: &str, plugin: &PluginSource) -> Result<Arc<Plugin>, ObjectiveError> {
        let name = stem(plugin.path());
        if let Places::Run(kept) = self.place
            && let Some(path) = kept.get(slot)
        {
            let read = self.read(&name, path);
            // One that is cut is no component any more; what it fails by does not matter.
            let hash = match &read {
                Ok(plugin) => Some(plugin.hash.clone()),
                Err(_) => lossmith_files::read(path, self.limits.component_bytes)
                    .ok()
                    .map(|bytes| lossmith_files::hex(&Sha256::digest(bytes))),
            };
            if hash.is_some_and(|hash| hash != stem(path)) {
                return Err(ObjectiveError::Damaged { path: path.clone() });
            }
            return read.map_err(|error| self.unreadable(slot, path, error));
        }
        let loaded = match (self.place, plugin) {
            (_, PluginSource::Crate { directory }) => {
                let built = toolchain::build(directory, None, self.messages, &self.under_way)?;
                self.sources.insert(plugin.clone(), Arc::new(built.sources));
                match self.known.iter().find(|known| known.bytes == built.bytes) {
                    Some(known) => Ok(Arc::clone(known)),
                    None => Plugin::from_bytes(&self.runtime, &name, built.bytes, &self.limits),
                }
            }
            (Places::Run(_), PluginSource::Component(path)) => self.read(&name, path),
            (Places::Standard(standard), PluginSource::Component(path)) => {
                standard.load(&self.runtime, path, self.source.directory(), &self.limits, &self.known)
            }
        };
        loaded.map_err(|error| self.unreadable(slot, plugin.path(), error))
    }

    fn read(&self, name: &str, path: &Path) -> Result<Arc<Plugin>, PluginError> {
        Plugin::load_known(&self.runtime, name, path, &self.limits, &self.known)
    }

    fn unreadable(&self, place: &str, plugin: &Path, error: PluginError) -> ObjectiveError {
        let error = PluginFault::from(error);
        let key = format!("{place}.plugin");
        let help = error.advice();
        match &*error.cause {
            Cause::NoPlugin { .. } => self.source.wrong_value(&key, error.cause.to_string(), help).into(),
            Cause::Read { source, .. } if source.kind() != std::io::ErrorKind::NotFound => {
                self.source.wrong_value(&key, error.to_string(), help).into()
            }
            Cause::Read { .. } => {
                let message = format!("there is no plugin at {}", plugin.display());
                let help = "`lossmith plugin build DIR` makes a component from a plugin's folder".to_owned();
                self.source.wrong_value(&key, message, Some(help)).into()
            }
            _ => ObjectiveError::Plugin(error),
        }
    }

    fn pointed(&self, place: &str, error: PluginError) -> ObjectiveError {
        if error.phase != Phase::Configure {
            return error.into();
        }
        self.source.wrong_value(&format!("{place}.strategy"), error.to_string(), error.help()).into()
    }
}
