//! Going on with a run under another configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Training;
use crate::experiment::{Experiment, ExperimentError, Source};
use crate::objective::{Loader, Places, Strategies};
use crate::run::{self, About, Edit, Event, PluginEntry, Run};
use crate::session::{Base, Staged, edit, entries};
use crate::standard::Standard;
use crate::train::checkpoints::{best_metric, stale};
use crate::train::training_error::TrainingError;

/// Looks at a file and at `key=value` settings for a run that is finished: they must give it something to go on with,
/// which is more epochs, or more patience where it ended for lack of it.
///
/// # Errors
/// What is wrong with the file or a setting; there is nothing to go on with.
pub fn extends(path: &Path, file: Option<&Path>, sets: &[String]) -> Result<(), TrainingError> {
    let run = Run::open(path)?;
    let last = run.timeline()?.last_key_value().map_or(0, |(_, revision)| *revision);
    let kept = Source::read(&run.revision(last)?.experiment, &[])?;
    let live = kept.parse()?;
    let wanted = match file {
        Some(file) => Source::read(file, sets)?,
        None => kept.set(sets)?,
    };
    let wanted = wanted.parse()?;
    let changes = edit::changes(&live, &wanted).map_err(unspeakable)?;
    let epochs = run.summary()?.epoch;
    let stale = stale(&run.metrics()?.rows, &best_metric(&wanted.evaluation));
    let patient = wanted.evaluation.patience.is_none_or(|patience| patience.get() > stale);
    if wanted.epochs > epochs && patient {
        return Ok(());
    }
    let way = if live.epochs > epochs { "evaluation.patience" } else { "epochs" };
    let changes = changes.iter().map(|change| format!("\n  {change}")).collect();
    Err(TrainingError::Finished { run: path.to_owned(), epochs, way, changes })
}

fn unspeakable(error: serde_json::Error) -> ExperimentError {
    ExperimentError::Set { how: "--set", text: String::new(), message: error.to_string() }
}

impl Training {
    /// Compares a resumed training with an experiment file (that of the run where none is given, with the run's
    /// components) and `key=value` settings. What differs is taken from the next epoch on if `accept`.
    ///
    /// # Errors
    /// What is wrong with the experiment; a change that is not accepted, or that a run cannot take.
    pub fn reconfigure(
        &mut self,
        file: Option<&Path>,
        sets: &[String],
        standard: &Standard,
        accept: bool,
    ) -> Result<(), TrainingError> {
        let source = match (file, self.revisions.base()) {
            (Some(file), _) => Source::read(file, sets)?,
            (None, Some(Base::Text { source, .. })) => source.clone().set(sets)?,
            (None, _) => return Ok(()),
        };
        let experiment = source.parse()?;
        let live = self.state.experiment();
        let changes = edit::changes(live, &experiment).map_err(unspeakable)?;
        for change in &changes {
            if let Some(reason) = edit::fixed(change) {
                return Err(TrainingError::Fixed { change: change.to_string(), reason });
            }
        }
        let bound = self.state.bound();
        let known = bound.iter().map(|bound| Arc::clone(&bound.plugin)).collect();
        let pinned = bound.iter().map(|bound| (bound.source.clone(), Arc::clone(&bound.plugin)));
        let pinned = if file.is_none() { pinned.collect() } else { BTreeMap::new() };
        let (runtime, places) = (Arc::clone(&self.runtime), Places::Standard(standard));
        let (device, limits) = (self.state.assembly().device, experiment.limits.clone());
        let loader = Loader::new(runtime, &source, places, device, experiment.seed, limits);
        let strategies = Strategies::load(&experiment, loader.knowing(known).pinned(pinned))?;
        let (before, after) = (entries(bound), entries(&strategies.bound));
        let texts = changes.iter().map(ToString::to_string).chain(components(&before, &after));
        let texts: Vec<String> = texts.map(|text| format!("  {text}")).collect();
        if texts.is_empty() {
            return Ok(());
        }
        if !accept {
            return Err(TrainingError::Changed { changes: texts.join("\n") });
        }
        let number = self.run().next_candidate()?;
        // A file that is given comes with its settings; the run's own has those of before.
        let edits = match file {
            Some(_) => Vec::new(),
            None => self.revisions.edits().iter().cloned().chain(sets.iter().cloned().map(Edit::Set)).collect(),
        };
        let reset = resets(live, &experiment, &before, &after);
        let about = About { plugins: after, edits, reset };
        for bound in &strategies.bound {
            bound.keep_in(self.run())?;
        }
        run::store_revision(self.run(), number, &experiment.to_toml()?, &about, None)?;
        self.run().record(Event::Candidate { number, origin: "resume".into() })?;
        let revision = self.revisions.revision();
        let staged = Staged { number, revision, source, experiment, strategies, about, changes, brought: None };
        self.revisions.stage(Some(staged));
        Ok(())
    }
}

/// What strategies that changed let begin anew. There is no batch to see what fits with.
fn resets(live: &Experiment, wanted: &Experiment, before: &[PluginEntry], after: &[PluginEntry]) -> Vec<String> {
    let hash = |entries: &[PluginEntry], slot: &str| {
        entries.iter().find(|entry| entry.slot == slot).map(|entry| entry.hash.clone())
    };
    let mut names = Vec::new();
    for PluginEntry { slot, .. } in after {
        let (Some(strategy), old) = (wanted.strategy(slot), live.strategy(slot)) else { continue };
        if old != Some(strategy) || hash(before, slot) != hash(after, slot) {
            names.extend(strategy.reset.iter().map(|name| format!("{slot}/{name}")));
        }
    }
    names
}

/// Slots that have another component.
fn components<'a>(before: &'a [PluginEntry], after: &'a [PluginEntry]) -> impl Iterator<Item = String> {
    let short = |hash: &str| hash.get(..12).unwrap_or_default().to_owned();
    after.iter().filter_map(move |after| {
        let before = before.iter().find(|before| before.slot == after.slot)?;
        (before.hash != after.hash)
            .then(|| format!("component of {}: {} -> {}", after.slot, short(&before.hash), short(&after.hash)))
    })
}
