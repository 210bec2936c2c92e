//! Checkpoints: writing what a training needs to go on, finding it, and going on from it; and which one is the best.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::metrics::Metrics;
use super::revisions::Revisions;
use super::state::{Fit, TrainingState};
use super::training_error::TrainingError;
use crate::data::PartName;
use crate::eval::EvaluationConfig;
use crate::experiment::Experiment;
use crate::run::{self, Checkpoint, Claim, RecordError, Row, RowKind, Run, RunError};

/// The checkpoints of a run that this process trains.
pub(super) struct Checkpoints {
    run: Run,
    /// Keeps other processes from training the run.
    claim: Option<Claim>,
    /// The step of the last checkpoint.
    saved: Option<u64>,
    /// The best value so far of the metric that marks the best checkpoint.
    best: Option<f64>,
    /// Evaluations since the best one.
    stale: usize,
}

impl Checkpoints {
    /// Of a run of which nothing is saved yet. A run that goes on is claimed already.
    pub(super) fn new(run: Run, claim: Option<Claim>) -> Self {
        Self { run, claim, saved: None, best: None, stale: 0 }
    }

    /// The run's folder.
    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// Claims the run, if it is not claimed yet. By now its journal says, too, that it is at work.
    pub(super) fn claim(&mut self) {
        if self.claim.is_none() {
            self.claim = self.run.claim().ok().flatten();
        }
    }

    /// Whether the state after a step is in a checkpoint.
    pub(super) fn has(&self, step: u64) -> bool {
        self.saved == Some(step)
    }

    /// Of so many steps, those that no checkpoint has.
    pub(super) fn unsaved(&self, step: u64) -> u64 {
        step.saturating_sub(self.saved.unwrap_or_default())
    }

    /// Writes everything that a later process needs to go on.
    pub(super) fn save(
        &mut self,
        state: &TrainingState,
        metrics: &Metrics,
        revisions: &Revisions,
    ) -> Result<PathBuf, TrainingError> {
        let mut tensors = state.tensors()?;
        let inside = state.inside() != 0;
        if inside {
            tensors.extend(metrics.tensors()?);
            tensors.extend(revisions.tensors());
        }
        let save = if inside { run::save_interrupted } else { run::save_checkpoint };
        let path = save(&self.run, state.epoch(), state.step(), &tensors)?;
        self.saved = Some(state.step());
        Ok(path)
    }

    /// Writes the checkpoint of an epoch and removes old ones. `best` is its metric if that is the best so far. Returns
    /// a warning if the checkpoint is not in the journal: nothing that a run goes on from is only there.
    pub(super) fn save_epoch(
        &mut self,
        best: Option<f64>,
        state: &TrainingState,
        metrics: &Metrics,
        revisions: &Revisions,
    ) -> Result<Option<String>, TrainingError> {
        let (epoch, step) = (state.epoch(), state.step());
        let path = self.save(state, metrics, revisions)?;
        if best.is_some() {
            self.best = best;
            self.run.mark_best(epoch)?;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let recorded = self.run.record(run::Event::Checkpoint { epoch, step, file, best: best.is_some() });
        self.run.prune_checkpoints(state.experiment().run.keep.get(), &revisions.ways_back())?;
        Ok(recorded.err().map(|error| format!("a checkpoint is not in the journal: {error}")))
    }

    /// Removes all checkpoints but the last ones: nothing goes back any more.
    pub(super) fn prune(&self, experiment: &Experiment) -> Result<(), RunError> {
        self.run.prune_checkpoints(experiment.run.keep.get(), &BTreeSet::new())
    }

    /// Sets everything to a checkpoint, or to the beginning without one; see [`TrainingState::restore`].
    pub(super) fn restore(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        fit: Fit,
        state: &mut TrainingState,
        metrics: &mut Metrics,
    ) -> Result<(), TrainingError> {
        state.restore(checkpoint, fit)?;
        let empty = BTreeMap::new();
        let tensors = checkpoint.map_or(&empty, |checkpoint| &checkpoint.tensors);
        metrics.restore(tensors, state.assembly().device)?;
        self.saved = checkpoint.map(|checkpoint| checkpoint.step);
        Ok(())
    }

    /// What the rows up to the present step say; later ones are undone. Returns the best epoch.
    pub(super) fn recollect(
        &mut self,
        state: &TrainingState,
        metrics: &mut Metrics,
    ) -> Result<Option<u64>, TrainingError> {
        let rows = metrics.rewind(&self.run, state.epoch(), state.step())?;
        let metric = best_metric(&state.experiment().evaluation);
        let best = run::best(&rows, &metric);
        self.stale = stale(&rows, &metric);
        self.best = best.map(|(_, best)| best);
        metrics.recollect(rows);
        Ok(best.map(|(epoch, _)| epoch))
    }

    /// After a restart: marks the best epoch if it is the last one. The process may have died between the checkpoint
    /// and its mark. An earlier epoch has its mark, whether it is still kept or not.
    pub(super) fn mark_again(&self, best: Option<u64>, state: &TrainingState) -> Result<(), RunError> {
        if let Some(epoch) = best.filter(|epoch| *epoch == state.epoch() && state.inside() == 0)
            && self.run.checkpoints()?.contains_key(&epoch)
        {
            self.run.mark_best(epoch)?;
        }
        Ok(())
    }

    /// After the epochs behind `epoch` were undone: the best checkpoint is not one of theirs. Returns a warning if the
    /// best epoch before them is not kept any more.
    pub(super) fn settle_best(&mut self, best: Option<u64>, epoch: u64) -> Result<Option<String>, RecordError> {
        let file = self.run.best_checkpoint();
        if !file.is_file() || run::load_checkpoint(&file)?.epoch <= epoch || self.run.mark_best_again(best)? {
            return Ok(None);
        }
        self.best = None;
        Ok(best.map(|best| {
            format!("the best epoch before, {best}, is not kept any more; the next evaluation marks the best anew")
        }))
    }

    /// The best checkpoint; `None` if no epoch was marked.
    pub(super) fn best(&self) -> Result<Option<Checkpoint>, RecordError> {
        self.best.map(|_| run::load_checkpoint(&self.run.best_checkpoint())).transpose()
    }

    /// Takes in an evaluation of the validation part: returns the metric that marks the best checkpoint if it is the
    /// best so far. `has_pair` says whether there is something to find in the part.
    pub(super) fn judge(
        &mut self,
        values: &BTreeMap<String, f64>,
        config: &EvaluationConfig,
        has_pair: bool,
    ) -> Result<Option<f64>, TrainingError> {
        let metric = best_metric(config);
        let Some(value) = values.get(&metric).copied() else {
            if values.is_empty() || !has_pair {
                // That was told at the start.
                return Ok(None);
            }
            let prefix = format!("{}/", PartName::Validation);
            let measured = values.keys().filter_map(|name| Some(name.strip_prefix(&prefix)?.to_owned())).collect();
            return Err(TrainingError::NotMeasured { metric: config.best.clone(), measured });
        };
        let direction = run::Direction::of(&metric).unwrap_or(run::Direction::Neither);
        let best = Some(value).filter(|value| direction.is_better(*value, self.best));
        self.stale = if best.is_some() { 0 } else { self.stale + 1 };
        Ok(best)
    }

    /// Evaluations since the best one.
    pub(super) fn stale(&self) -> usize {
        self.stale
    }

    /// Whether the last evaluations, as many as `evaluation.patience` says, were not better than one before them.
    pub(super) fn are_out_of_patience(&self, config: &EvaluationConfig) -> bool {
        config.patience.is_some_and(|patience| self.stale >= patience.get())
    }
}

/// The newest checkpoint of a run that is whole, and what is wrong with newer ones: an older one serves where a disk
/// has damaged the newest.
pub(super) fn newest(run: &Run) -> Result<(Option<Checkpoint>, Vec<String>), TrainingError> {
    let mut damaged = Vec::new();
    let mut first = None;
    for path in run.checkpoints_by_age()? {
        match run::load_checkpoint(&path) {
            Ok(checkpoint) => return Ok((Some(checkpoint), damaged)),
            Err(error) => {
                damaged.push(error.to_string());
                first = first.or(Some(error));
            }
        }
    }
    first.map_or(Ok((None, damaged)), |error| Err(error.into()))
}

/// The name of the metric that marks the best checkpoint.
pub(super) fn best_metric(config: &EvaluationConfig) -> String {
    format!("{}/{}", PartName::Validation, config.best)
}

/// How many evaluations there are since the best one, by the rows that count.
pub(super) fn stale(rows: &[Row], metric: &str) -> usize {
    let best = run::best(rows, metric).map_or(0, |(epoch, _)| epoch);
    let later = rows.iter().filter(|row| row.kind == RowKind::Evaluation && row.epoch > best);
    later.filter(|row| row.values.contains_key(metric)).count()
}
