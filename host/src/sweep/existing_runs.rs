//! Finds the existing runs of a sweep: finished ones to keep, stopped ones to go on with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::input_digests::InputDigests;
use super::plan::Trial;
use crate::experiment::PluginSource;
use crate::run::{self, RecordError, Row, RowKind, Run, RunError, Status};
use crate::standard::Standard;
use crate::toolchain::{self, Messages, UnderWay};

/// A finished run and what it measured.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) path: PathBuf,
    /// The validation part at the best checkpoint, by metric; empty if it was never measured.
    pub(super) validation: BTreeMap<String, f64>,
    /// Means over the last epoch, by training metric.
    pub(super) training: BTreeMap<String, f64>,
}

/// The existing runs of a trial.
#[derive(Debug, Default)]
pub(super) struct ExistingRuns {
    pub(super) done: Option<Done>,
    /// Runs that were stopped or are at work, the newest first.
    pub(super) begun: Vec<PathBuf>,
    /// The newest run that would be one of these if nothing had changed, and what did.
    pub(super) changed: Option<(PathBuf, String)>,
}

/// Looks for the runs of a trial in a folder: those that wrote the same experiment, ran the same components, and had
/// the data and the files that are there now. What is damaged is passed over. Bare names of plugins are looked for as
/// `standard` says.
pub(super) fn find(
    directory: &Path,
    trial: &Trial,
    standard: &Standard,
    digests: &mut InputDigests,
) -> Result<ExistingRuns, RunError> {
    let mut kept = ExistingRuns::default();
    for path in folders(directory, &trial.name)?.into_iter().rev() {
        let Ok(run) = Run::open(&path) else { continue };
        let changed = match plugins(&run, trial, standard) {
            Plugins::Same => digests.changed(&run, trial),
            Plugins::Changed(plugin) => Ok(Some(format!("the plugin `{}` changed since", plugin.path().display()))),
            Plugins::Unknown => continue,
        };
        match changed {
            Ok(None) => {}
            Ok(Some(what)) => {
                kept.changed.get_or_insert((path, what));
                continue;
            }
            Err(_) => continue,
        }
        match run.status() {
            Ok(Status::Finished) => {
                if let Ok(done) = Done::read(&run) {
                    kept.done = Some(done);
                    break;
                }
            }
            Ok(Status::Interrupted | Status::Died | Status::Failed | Status::Running) => kept.begun.push(path),
            Ok(Status::Unknown) | Err(_) => {}
        }
    }
    Ok(kept)
}

/// The folders that a run of this name may have, by name and so by time.
fn folders(directory: &Path, name: &str) -> Result<Vec<PathBuf>, RunError> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&format!("{name}-")) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    };
    match list() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(RunError::io("list", directory)),
    }
}

/// How the components of a run compare with those that a start of the trial would take.
enum Plugins {
    Same,
    /// The first one that is another.
    Changed(PluginSource),
    /// The run is of another experiment, or a component cannot be had or read.
    Unknown,
}

fn plugins(run: &Run, trial: &Trial, standard: &Standard) -> Plugins {
    let (Ok(text), Ok(manifest)) = (run.experiment(), run.manifest()) else { return Plugins::Unknown };
    if text != trial.text {
        return Plugins::Unknown;
    }
    let Ok(experiment) = toml::from_str::<toml::Table>(&text) else { return Plugins::Unknown };
    let experiment = toml::Value::Table(experiment);
    let source = |slot: &str| -> Option<PluginSource> { at(&experiment, slot)?.get("plugin")?.clone().try_into().ok() };
    let mut built = BTreeMap::new();
    let mut changed = None;
    for entry in &manifest.plugins {
        let Some(plugin) = source(&entry.slot) else { return Plugins::Unknown };
        let now =
            built.entry(plugin.clone()).or_insert_with_key(|plugin| wanted(plugin, standard, trial.source.directory()));
        let (Some(now), Ok(then)) = (now, fs::read(run.plugin_path(&entry.hash))) else { return Plugins::Unknown };
        if *now != then {
            changed.get_or_insert(plugin);
        }
    }
    changed.map_or(Plugins::Same, Plugins::Changed)
}

/// The component that a start would take, byte by byte; what must be built is built, which is quick where nothing
/// changed. None of one that cannot be had: the start says why.
fn wanted(plugin: &PluginSource, standard: &Standard, beside: &Path) -> Option<Vec<u8>> {
    match plugin {
        PluginSource::Component(path) => standard.read(path, beside),
        PluginSource::Crate { directory } => {
            Some(toolchain::build(directory, None, Messages::Kept, &UnderWay::default()).ok()?.bytes)
        }
    }
}

/// The entry of a slot: `objective.0.loss`.
fn at<'a>(experiment: &'a toml::Value, slot: &str) -> Option<&'a toml::Value> {
    slot.split('.').try_fold(experiment, |here, step| match here {
        toml::Value::Array(entries) => entries.get(step.parse::<usize>().ok()?),
        _ => here.get(step),
    })
}

impl Done {
    /// Reads a finished run.
    ///
    /// # Errors
    /// The checkpoint that is measured, or the metrics, are missing or damaged.
    pub(super) fn read(run: &Run) -> Result<Self, RecordError> {
        let best = run.best_checkpoint();
        let file = if best.is_file() { Some(best) } else { run.checkpoints()?.pop_last().map(|(_, file)| file) };
        let file = file.ok_or_else(|| RunError::damaged(run.path())("it has no checkpoint"))?;
        let epoch = run::load_checkpoint(&file)?.epoch;
        let rows = run.metrics()?.rows;
        let last = |wanted: &dyn Fn(&&Row) -> bool| {
            rows.iter().rev().find(wanted).map(|row| row.values.clone()).unwrap_or_default()
        };
        let measured = |name: &str| name.starts_with("validation/");
        let validation = last(&|row| {
            row.kind == RowKind::Evaluation && row.epoch == epoch && row.values.keys().any(|name| measured(name))
        });
        let named = |(name, value): (String, f64)| Some((name.strip_prefix("validation/")?.to_owned(), value));
        Ok(Self {
            path: run.path().to_owned(),
            validation: validation.into_iter().filter_map(named).collect(),
            training: last(&|row| row.kind == RowKind::Epoch),
        })
    }
}
