//! From the experiment's names to slots.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Kind};

use super::error::ObjectiveError;
use crate::experiment::{PluginSource, Source, StrategyConfig, is_bare};
use crate::plugin::{Cause, Limits, Params, Phase, Plugin, PluginError, Role, Runtime, Setting, Slot, stem};
use crate::suggest::nearest;
use crate::toolchain::{self, Messages};

/// Loads plugins, each once.
pub struct Loader<'a> {
    runtime: Arc<Runtime>,
    source: &'a Source,
    place: Places<'a>,
    device: Device,
    seed: u64,
    limits: Arc<Limits>,
    messages: Messages,
    /// Compiled already, whatever file they came from.
    known: Vec<Arc<Plugin>>,
    plugins: BTreeMap<PluginSource, Arc<Plugin>>,
    bound: Vec<Bound>,
}

/// Where components are.
#[derive(Clone, Copy)]
pub enum Places<'a> {
    /// Where the experiment says; bare names are standard plugins in this folder.
    Standard(&'a Path),
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
        let (plugins, bound) = (BTreeMap::new(), Vec::new());
        let (limits, messages, known) = (Arc::new(limits), Messages::Shown, Vec::new());
        Self { runtime, source, place, device, seed, limits, messages, known, plugins, bound }
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

    /// Binds a strategy to a slot. `place` is its key in the experiment, which errors point at; `number` is that of its random
    /// stream.
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
                let path = self.path(place, &config.plugin)?;
                let plugin =
                    Plugin::load_known(&self.runtime, &stem(config.plugin.path()), &path, &self.limits, &self.known)
                        .map_err(|error| self.unreadable(place, config.plugin.path(), &path, error))?;
                if matches!(self.place, Places::Run(kept) if kept.contains_key(place)) && stem(&path) != plugin.hash {
                    return Err(ObjectiveError::Damaged { path });
                }
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
        });
        Ok(Slot::new(Arc::clone(&self.runtime), plugin, role, &config.strategy, params, setting)?)
    }

    fn path(&self, slot: &str, plugin: &PluginSource) -> Result<PathBuf, ObjectiveError> {
        if let Places::Run(kept) = self.place
            && let Some(path) = kept.get(slot)
        {
            return Ok(path.clone());
        }
        Ok(match (self.place, plugin) {
            (_, PluginSource::Crate { directory }) => toolchain::build(directory, None, self.messages)?.write()?,
            (Places::Run(_), PluginSource::Component(path)) => path.clone(),
            (Places::Standard(directory), PluginSource::Component(path)) => component(directory, path),
        })
    }

    fn unreadable(&self, place: &str, plugin: &Path, path: &Path, error: PluginError) -> ObjectiveError {
        match &*error.cause {
            Cause::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {}
            Cause::Read { .. } => {
                return self.source.wrong_value(&format!("{place}.plugin"), error.to_string(), None).into();
            }
            _ => return error.into(),
        }
        let (message, known) = match self.place {
            Places::Standard(directory) if is_bare(plugin) => {
                (format!("there is no plugin `{}` in {}", plugin.display(), directory.display()), names(directory))
            }
            _ => (format!("there is no plugin at {}", path.display()), Vec::new()),
        };
        let help = nearest(&stem(plugin), &known).map_or_else(
            || "`lossmith plugin build DIR` makes a component from a plugin's folder; `make plugins` makes the standard ones".into(),
            |near| format!("did you mean `{near}`?"),
        );
        self.source.wrong_value(&format!("{place}.plugin"), message, Some(help)).into()
    }

    fn pointed(&self, place: &str, error: PluginError) -> ObjectiveError {
        use miette::Diagnostic;
        if error.phase != Phase::Configure {
            return error.into();
        }
        let help = error.help().map(|help| help.to_string());
        self.source.wrong_value(&format!("{place}.strategy"), error.to_string(), help).into()
    }
}

/// The file of a component that an experiment names; a bare name is a standard plugin in `directory`.
#[must_use]
pub fn component(directory: &Path, plugin: &Path) -> PathBuf {
    if is_bare(plugin) { directory.join(plugin).with_extension("wasm") } else { plugin.to_owned() }
}

/// The names of the components in a folder, sorted.
fn names(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let components = files.filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
    let mut names: Vec<_> = components.map(|path| stem(&path)).collect();
    names.sort();
    names
}
