//! From the experiment's names to slots.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Kind};

use super::error::ObjectiveError;
use crate::experiment::{Source, StrategyConfig, is_bare};
use crate::plugin::{Cause, Limits, Params, Phase, Plugin, PluginError, Role, Runtime, Setting, Slot, stem};
use crate::suggest::nearest;

/// Loads plugins, each file once, and numbers the slots.
pub struct Loader<'a> {
    runtime: Arc<Runtime>,
    source: &'a Source,
    place: Places<'a>,
    device: Device,
    seed: u64,
    limits: Arc<Limits>,
    plugins: BTreeMap<PathBuf, Arc<Plugin>>,
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
        Self { runtime, source, place, device, seed, limits: Arc::new(limits), plugins, bound }
    }

    /// What has been bound so far.
    #[must_use]
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// Binds a strategy to a slot. `place` is its key in the experiment, which errors point at.
    ///
    /// # Errors
    /// When the plugin cannot be loaded, has no such strategy, or a parameter does not fit.
    pub fn slot(&mut self, place: &str, role: Role, config: &StrategyConfig) -> Result<Slot, ObjectiveError> {
        let path = self.path(place, &config.plugin);
        let plugin = match self.plugins.get(&path) {
            Some(plugin) => Arc::clone(plugin),
            None => {
                let plugin = Plugin::load_as(&self.runtime, &stem(&config.plugin), &path, &self.limits)
                    .map_err(|error| self.unreadable(place, &config.plugin, &path, error))?;
                self.plugins.insert(path, Arc::clone(&plugin));
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
            slot: self.bound.len() as u64,
            limits: Arc::clone(&self.limits),
        };
        self.bound.push(Bound {
            slot: place.to_owned(),
            role,
            strategy: config.strategy.clone(),
            plugin: Arc::clone(&plugin),
        });
        Ok(Slot::new(Arc::clone(&self.runtime), plugin, role, &config.strategy, params, setting)?)
    }

    fn path(&self, slot: &str, plugin: &Path) -> PathBuf {
        match self.place {
            Places::Run(kept) => kept.get(slot).cloned().unwrap_or_else(|| plugin.to_owned()),
            Places::Standard(directory) => component(directory, plugin),
        }
    }

    fn unreadable(&self, place: &str, plugin: &Path, path: &Path, error: PluginError) -> ObjectiveError {
        if !matches!(*error.cause, Cause::Read { .. }) {
            return error.into();
        }
        let (message, known) = match self.place {
            Places::Standard(directory) if is_bare(plugin) => {
                (format!("there is no plugin `{}` in {}", plugin.display(), directory.display()), names(directory))
            }
            _ => (format!("there is no plugin at {}", path.display()), Vec::new()),
        };
        let help = nearest(&stem(plugin), &known).map_or_else(
            || "`lossmith plugin build DIR` makes a component from a Rust crate; `make plugins` makes the standard ones".into(),
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
