//! Looking at the strategies of experiments that are trained later.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lossmith_plugin::{Plugin, Runtime};
use tch::Device;

use super::training_error::TrainingError;
use crate::experiment::{PluginSource, Source};
use crate::objective::{Loader, Places, Strategies};
use crate::standard::Standard;

/// Binds the strategies of experiments as the start of a training does. Each component is compiled once.
pub struct StrategyCheck<'a> {
    runtime: Arc<Runtime>,
    standard: &'a Standard,
    /// What was loaded, by the folder of the experiment file: a bare name may mean a component beside it.
    plugins: BTreeMap<PathBuf, BTreeMap<PluginSource, Arc<Plugin>>>,
}

impl<'a> StrategyCheck<'a> {
    /// Nothing is loaded yet. Bare names of plugins are looked for as `standard` says.
    #[must_use]
    pub fn new(runtime: Arc<Runtime>, standard: &'a Standard) -> Self {
        Self { runtime, standard, plugins: BTreeMap::new() }
    }

    /// Binds every strategy of an experiment.
    ///
    /// # Errors
    /// What is wrong with the experiment or its strategies.
    pub fn check(&mut self, source: &Source) -> Result<(), TrainingError> {
        let experiment = source.parse()?;
        let (runtime, places) = (Arc::clone(&self.runtime), Places::Standard(self.standard));
        let known = self.plugins.values().flat_map(BTreeMap::values).cloned().collect();
        let plugins = self.plugins.entry(source.directory().to_owned()).or_default();
        // Nothing is computed, so the device does not matter.
        let loader = Loader::new(runtime, source, places, Device::Cpu, experiment.seed, experiment.limits.clone());
        let strategies = Strategies::load(&experiment, loader.knowing(known).pinned(plugins.clone()))?;
        plugins.extend(strategies.bound.into_iter().map(|bound| (bound.source, bound.plugin)));
        Ok(())
    }
}
