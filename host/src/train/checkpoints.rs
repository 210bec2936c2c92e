//! What a training writes down to go on from, and going on from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tch::Tensor;

use super::Optimizer;
use super::assembly::{Assembly, below};
use super::averages::Averages;
use super::optimizer_error::TrainError;
use super::patience::stale;
use super::training::Training;
use super::training_error::TrainingError;
use crate::data::Sampler;
use crate::model::Group;
use crate::run::{self, Checkpoint, Run};

impl Training {
    /// Writes everything that a later process needs to go on.
    pub(super) fn checkpoint(&mut self) -> Result<PathBuf, TrainingError> {
        let (epoch, inside) = (self.epoch_count(), self.inside());
        let mut tensors = BTreeMap::new();
        let mut put = |prefix: &str, state: BTreeMap<String, Tensor>| {
            tensors.extend(state.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        };
        put("model/", self.assembly.model.state());
        put("optimizer/", self.optimizer.state());
        put("plugin/", self.assembly.strategies.objectives.state()?);
        put("shadow/", self.shadows.state(&self.assembly.strategies.shadows)?);
        if inside != 0 {
            put("metrics/recent/", self.recent.state()?);
            put("metrics/whole/", self.whole.state()?);
            put("", self.probation_state());
        }
        let save = if inside == 0 { run::save_checkpoint } else { run::save_interrupted };
        let path = save(&self.run, epoch, self.step, &tensors)?;
        self.saved = Some(self.step);
        Ok(path)
    }

    /// Sets everything to a checkpoint, or to the beginning without one. The strategies keep nothing yet. Only where
    /// the checkpoint is that of another revision or run may it have what is not wanted here, or lack something.
    pub(super) fn restore(&mut self, checkpoint: Option<&Checkpoint>, fit: Fit) -> Result<(), TrainingError> {
        let empty = BTreeMap::new();
        let tensors = checkpoint.map_or(&empty, |checkpoint| &checkpoint.tensors);
        if checkpoint.is_some() {
            self.assembly.model.load_state(&below(tensors, "model/"))?;
        }
        match fit {
            Fit::Exact => self.load_strategies(tensors)?,
            Fit::Where => {
                let places: Vec<_> = self.assembly.strategies.objectives.places().map(str::to_owned).collect();
                let ours = |name: &str| places.iter().any(|place| name.starts_with(&format!("plugin/{place}/")));
                let shadows = self.shadows.fitting(&self.assembly.strategies.shadows, &below(tensors, "shadow/"));
                let shadow = |name: &str| shadows.iter().any(|shadow| name.starts_with(&format!("shadow/{shadow}/")));
                let kept = tensors.iter().filter(|(name, _)| ours(name) || shadow(name));
                self.load_strategies(&kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect())?;
            }
        }
        self.optimizer = optimizer(&self.assembly)?;
        self.adopted = 0;
        self.adopt()?;
        let saved = below(tensors, "optimizer/");
        match fit {
            Fit::Exact if checkpoint.is_none() => {}
            Fit::Exact => self.optimizer.load_state(&saved)?,
            Fit::Where => {
                let mut state = self.optimizer.state();
                for (name, tensor) in saved {
                    if let Some(ours) = state.get_mut(&name)
                        && ours.size() == tensor.size()
                    {
                        *ours = tensor;
                    }
                }
                self.optimizer.load_state(&state)?;
            }
        }
        let device = self.assembly.device;
        (self.recent, self.whole) = (Averages::default(), Averages::default());
        self.recent.load_state(&below(tensors, "metrics/recent/"), device)?;
        self.whole.load_state(&below(tensors, "metrics/whole/"), device)?;
        self.step = checkpoint.map_or(0, |checkpoint| checkpoint.step);
        self.saved = checkpoint.map(|checkpoint| checkpoint.step);
        Ok(())
    }

    /// Gives the strategies what a checkpoint has of theirs.
    pub(super) fn load_strategies(&mut self, tensors: &BTreeMap<String, Tensor>) -> Result<(), TrainingError> {
        let device = self.assembly.device;
        let moved = |prefix: &str| {
            let moved =
                below(tensors, prefix).into_iter().map(|(name, tensor)| Ok((name, tensor.f_to_device(device)?)));
            moved.collect::<Result<BTreeMap<_, _>, TrainingError>>()
        };
        let strategies = &mut self.assembly.strategies;
        strategies.objectives.load_state(&moved("plugin/")?)?;
        self.shadows.load_state(&mut strategies.shadows, &moved("shadow/")?, &self.assembly.experiment.optimizer)
    }

    /// What the rows up to this step say; later ones are undone. Returns the best epoch.
    pub(super) fn recollect(&mut self) -> Result<Option<u64>, TrainingError> {
        let mut last = BTreeMap::new();
        let mut rows = self.run.metrics()?.rows;
        if rows.iter().any(|row| row.step > self.step) {
            self.log.rewind(self.epoch_count(), self.step)?;
        }
        rows.retain(|row| row.step <= self.step);
        let best = run::best(&rows, &self.best_metric());
        self.stale = stale(&rows, &self.best_metric());
        // Nothing that trains may see how the test part came out, where a finished run goes on.
        let seen = |name: &String| !name.starts_with("shadow.") && !name.starts_with("test/");
        for row in rows {
            last.extend(row.values.into_iter().filter(|(name, _)| seen(name)));
        }
        (self.last, self.best) = (Arc::new(last), best.map(|(_, best)| best));
        Ok(best.map(|(epoch, _)| epoch))
    }

    /// Gives the network the weights of the best checkpoint; returns its epoch.
    pub(super) fn load_best(&mut self) -> Result<u64, TrainingError> {
        let checkpoint = run::load_checkpoint(&self.run.best_checkpoint())?;
        self.assembly.model.load_state(&below(&checkpoint.tensors, "model/"))?;
        self.assembly.load_fusion(&checkpoint.tensors)?;
        Ok(checkpoint.epoch)
    }
}

/// How a checkpoint fits what is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has all of it and nothing else.
    Exact,
    /// What has a name and a shape in both is taken.
    Where,
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

/// An optimizer with the network's parameters.
pub(super) fn optimizer(assembly: &Assembly) -> Result<Optimizer, TrainingError> {
    let Assembly { experiment, model, .. } = assembly;
    let mut optimizer = Optimizer::new(experiment.optimizer.clone())?;
    let multipliers = &experiment.optimizer.multipliers;
    for parameter in model.parameters() {
        let multiplier = match parameter.group {
            Group::Backbone => multipliers.backbone,
            Group::Head => multipliers.head,
        };
        optimizer.add(&parameter.name, &parameter.tensor, multiplier)?;
    }
    Ok(optimizer)
}

/// The sampler and the optimizer of an experiment.
pub(super) fn prepare(assembly: &Assembly) -> Result<(Sampler, Optimizer), TrainingError> {
    let Assembly { experiment, dataset, .. } = assembly;
    experiment.learning_rate.check().map_err(TrainError::from)?;
    Ok((Sampler::new(&experiment.sampler, dataset, experiment.seed)?, optimizer(assembly)?))
}
