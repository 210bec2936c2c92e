//! The files that a training follows.

use std::path::Path;

use super::watch::Followed;
use crate::experiment::{Experiment, ObjectiveConfig, PluginSource, ShadowConfig};
use crate::standard::Standard;
use crate::toolchain::sources;

/// The files that an experiment is made of. Bare names of plugins are looked for as `standard` says.
#[must_use]
pub fn followed(file: &Path, experiment: &Experiment, standard: &Standard) -> Vec<Followed> {
    let shadows = experiment.shadow.iter().map(|ShadowConfig { objective, .. }| objective);
    let strategies = experiment.objective.iter().chain(shadows).flat_map(|objective| {
        let ObjectiveConfig { weight: _, on: _, loss, transfer, balance, miner, schedule } = objective;
        [loss, transfer, balance, miner, schedule].into_iter().flatten()
    });
    let beside = file.parent().unwrap_or(Path::new(""));
    let sources = strategies.chain(&experiment.fusion).flat_map(|strategy| match &strategy.plugin {
        PluginSource::Component(path) => standard.files(path, beside).into_iter().map(Followed::File).collect(),
        PluginSource::Crate { directory } => sources_of(directory),
    });
    let mut followed: Vec<_> = std::iter::once(Followed::File(file.to_owned())).chain(sources).collect();
    followed.sort();
    followed.dedup();
    followed
}

/// What a plugin that is built is made of: its folder, those of its path dependencies, and the manifest of its
/// workspace.
#[must_use]
pub fn sources_of(directory: &Path) -> Vec<Followed> {
    let folders = sources::folders(directory).into_iter().map(Followed::Sources);
    folders.chain(sources::workspace(directory).map(Followed::File)).collect()
}
