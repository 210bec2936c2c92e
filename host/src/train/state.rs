//! The state of a training: what changes with each step, and what a checkpoint has of it.
//!
//! The network, the strategies with what they keep, the optimizer, and the count of steps belong together: they change
//! by a step ([`TrainingState::train`]), by a revision ([`TrainingState::exchange`]) and by a checkpoint
//! ([`TrainingState::restore`]), and by nothing else.

mod pixels;
mod shared;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lossmith_plugin::Progress;
use lossmith_plugin::candidate::States;
use tch::Tensor;

use super::Optimizer;
use super::assembly::{Assembly, below};
use super::epoch_length::Pace;
use super::optimizer_error::TrainError;
use super::shadows::Shadows;
use super::training_error::TrainingError;
use crate::data::{BatchLoader, Drawn, PartName, Sampler};
use crate::eval::{Evaluation, Watch};
use crate::experiment::{DeviceChoice, Experiment};
use crate::model::{Group, Parts};
use crate::objective::{Bound, Strategies};
use crate::ranks::{Ranks, RanksError, Share};
use crate::run::Checkpoint;
use crate::teacher::Teacher;

pub(super) use step::Looks;

/// What a training has at a step.
pub(super) struct TrainingState {
    assembly: Assembly,
    sampler: Sampler,
    optimizer: Optimizer,
    shadows: Shadows,
    /// Parameters of plugins that the optimizer has.
    adopted: usize,
    /// Steps that are complete.
    step: u64,
    /// Where the epochs of the present length began.
    pace: Pace,
    /// Those who compute the other parts of each batch.
    ranks: Option<Arc<Ranks>>,
}

/// How a checkpoint fits what is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has all of it and nothing else.
    Exact,
    /// What has a name and a shape in both is taken.
    Where,
}

impl TrainingState {
    /// At the beginning of a run.
    pub(super) fn new(assembly: Assembly) -> Result<Self, TrainingError> {
        let Experiment { optimizer: config, session, sampler, seed, .. } = &assembly.experiment;
        assembly.experiment.learning_rate.check().map_err(TrainError::from)?;
        Ok(Self {
            sampler: Sampler::new(sampler, &assembly.dataset, *seed)?,
            optimizer: optimizer(&assembly)?,
            shadows: Shadows::new(config, session.shadow_share),
            adopted: 0,
            step: 0,
            pace: Pace::default(),
            ranks: None,
            assembly,
        })
    }

    /// Computes only this rank's part of each batch from now on.
    ///
    /// # Errors
    /// The experiment cannot be trained by so many.
    pub(super) fn join(&mut self, ranks: &Arc<Ranks>) -> Result<(), RanksError> {
        let Experiment { ranks: config, model: network, training, .. } = self.experiment();
        let (images, size, model) = (self.batch_size(), ranks.share().size(), &self.assembly.model);
        let unfit = |what, advice| Err(RanksError::Unfit { what, advice });
        if let (DeviceChoice::Cuda(number), true) = (&self.experiment().device, ranks.place().local_size > 1) {
            let what = format!("`device = \"cuda:{number}\"` is one device, and several ranks are on this machine");
            return unfit(what, "`device = \"auto\"` gives each rank a device of its own");
        }
        if images < size {
            let what = format!("a batch of {images} images is not one for {size} ranks: each must have an image");
            return unfit(what, "raise `sampler.classes` or `sampler.samples`, or start fewer ranks");
        }
        let most = Share::new(0, size).most(images);
        if training.micro_batch.is_some() && Parts::new(most, training.micro_batch).count() > images / size {
            let what = format!(
                "with `training.micro-batch` {size} ranks do not cut a batch of {images} images into equally many parts"
            );
            return unfit(what, "raise `training.micro-batch`, or take a batch that the ranks divide");
        }
        if model.keeps_statistics(network.freeze_batch_norm) {
            if model.is_script() {
                let what = "the TorchScript module keeps running statistics of the images of one rank".to_owned();
                return unfit(what, "freeze its batch normalisation before it is saved, or train with one process");
            }
            if !config.sync_batch_norm {
                let what =
                    "without `ranks.sync-batch-norm` each rank would normalise its images by themselves".to_owned();
                return unfit(what, "leave it on, or freeze batch normalisation: `model.freeze-batch-norm = true`");
            }
            model.normalise_across(ranks.group());
        }
        self.ranks = Some(Arc::clone(ranks));
        Ok(())
    }

    /// The part of each batch that this process computes.
    pub(super) fn share(&self) -> Share {
        self.ranks.as_ref().map_or(Share::WHOLE, |ranks| ranks.share())
    }

    /// Data, network and strategies.
    pub(super) fn assembly(&self) -> &Assembly {
        &self.assembly
    }

    /// The experiment at work.
    pub(super) fn experiment(&self) -> &Experiment {
        &self.assembly.experiment
    }

    /// The strategies at work.
    pub(super) fn bound(&self) -> &[Bound] {
        &self.assembly.strategies.bound
    }

    /// Steps that are complete.
    pub(super) fn step(&self) -> u64 {
        self.step
    }

    /// Steps of an epoch.
    pub(super) fn steps(&self) -> u64 {
        self.sampler.batches_per_epoch() as u64
    }

    /// Images of a batch.
    pub(super) fn batch_size(&self) -> usize {
        self.sampler.batch_size()
    }

    /// Epochs that are complete.
    pub(super) fn epoch(&self) -> u64 {
        self.pace.epoch(self.step, self.steps())
    }

    /// Steps of the epoch at work that are complete.
    pub(super) fn inside(&self) -> u64 {
        self.pace.inside(self.step, self.steps())
    }

    /// The images of the batches of an epoch, of each those that this process computes, but for the first `skipped`.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn load(
        &self,
        epoch: u64,
        skipped: u64,
        teacher: Option<&Teacher>,
    ) -> Result<BatchLoader, TrainingError> {
        let share = self.share();
        let batches = self.sampler.epoch(epoch).into_iter().skip(skipped as usize);
        let batches = batches.map(|batch| batch.get(share.rows(batch.len())).unwrap_or_default().to_vec()).collect();
        let place = share.rows(self.batch_size()).start;
        let drawn = Drawn { seed: self.experiment().seed, epoch, first: skipped, place };
        let (preparation, device) = (teacher.and_then(Teacher::preparation), self.assembly.device);
        Ok(BatchLoader::train_from(&self.assembly.dataset, batches, drawn, preparation, device)?)
    }

    /// Steps of an epoch with so many steps that are complete.
    pub(super) fn done(&self, epoch: u64, steps: u64) -> u64 {
        self.step - self.pace.start(epoch, steps)
    }

    /// Whether a row of metrics is written after so many steps of an epoch.
    pub(super) fn logs(&self, done: u64, steps: u64) -> bool {
        done == steps || done.is_multiple_of(self.experiment().run.log_every.get() as u64)
    }

    /// Where the training is, for strategies; `last` are the last values of the metrics.
    pub(super) fn progress(&self, epoch: u64, steps_per_epoch: u64, last: &Arc<BTreeMap<String, f64>>) -> Progress {
        Progress {
            epoch,
            epochs: self.experiment().epochs,
            step: self.step,
            steps_per_epoch,
            metrics: Arc::clone(last),
            place: String::new(),
        }
    }

    /// Where the epochs of the present length began: step and epoch.
    pub(super) fn pace(&self) -> (u64, u64) {
        (self.pace.step, self.pace.epoch)
    }

    /// The epochs have the present length from here on.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// So many epochs are complete: those before were of another length.
    pub(super) fn count_from(&mut self, epoch: u64) {
        self.step = epoch * self.steps();
    }

    /// Calls the fusion, if there is one, before anything is trained, so that what is wrong with it is told.
    pub(super) fn try_fusion(&mut self) -> Result<(), TrainingError> {
        if self.assembly.experiment.fusion.is_some() { self.assembly.try_fusion() } else { Ok(()) }
    }

    /// Starts the clock of the shadows.
    pub(super) fn start_clock(&mut self) {
        self.shadows.begin();
    }

    /// Time in which nothing was trained.
    pub(super) fn idle(&mut self, time: Duration) {
        self.shadows.idle(time);
    }

    /// Measures a part of the data; `None` when it is empty. See [`Assembly::evaluate`].
    pub(super) fn evaluate(
        &mut self,
        part: PartName,
        last: &Arc<BTreeMap<String, f64>>,
        ranks: Option<&Ranks>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Evaluation>, TrainingError> {
        let progress = self.progress(self.epoch(), self.steps(), last);
        self.assembly.evaluate(part, &progress, ranks, watch)
    }

    /// Gives the optimizer the parameters that plugins have made.
    pub(super) fn adopt(&mut self) -> Result<(), TrainingError> {
        let objectives = &mut self.assembly.strategies.objectives;
        let replaced = objectives.take_replaced();
        if !replaced.is_empty() {
            self.optimizer.retain(|name| !replaced.iter().any(|replaced| replaced == name));
            self.adopted = 0;
        }
        if objectives.parameter_count() == self.adopted {
            return Ok(());
        }
        let parameters = objectives.parameters();
        for (name, tensor, multiplier) in &parameters {
            if !self.optimizer.has(name) {
                self.optimizer.add(name, tensor, *multiplier)?;
            }
        }
        self.adopted = parameters.len();
        Ok(())
    }

    /// Goes on with another experiment and its strategies: what the slots keep, the optimizer's memory and the random
    /// streams go on, but for the names of `reset` and for places whose states are `brought`. Returns the components
    /// before.
    pub(super) fn exchange(
        &mut self,
        experiment: Experiment,
        mut strategies: Strategies,
        reset: &[String],
        brought: Option<States>,
    ) -> Result<Vec<Bound>, TrainingError> {
        let before = &mut self.assembly.strategies;
        let mut states = before.objectives.take_states();
        for name in reset {
            if let Some((place, name)) = name.split_once('/')
                && let Some(state) = states.get_mut(place)
            {
                state.parameters.remove(name);
                state.buffers.remove(name);
            }
        }
        let anew: Vec<String> = brought.iter().flat_map(BTreeMap::keys).map(|place| format!("{place}/")).collect();
        states.extend(brought.into_iter().flatten());
        strategies.objectives.put_states(states);
        self.shadows.exchange(
            &mut before.shadows,
            &mut strategies.shadows,
            &experiment.optimizer,
            experiment.session.shadow_share,
        )?;
        self.optimizer.configure(experiment.optimizer.clone())?;
        let kept: BTreeSet<_> = strategies.objectives.parameters().into_iter().map(|(name, ..)| name).collect();
        self.optimizer.retain(|name| {
            let plugins = name.contains('/');
            !plugins || kept.contains(name) && !anew.iter().any(|place| name.starts_with(place))
        });
        let before = std::mem::replace(&mut self.assembly.strategies, strategies).bound;
        self.assembly.experiment = experiment;
        self.adopted = usize::MAX;
        self.adopt()?;
        Ok(before)
    }

    /// Another experiment and its strategies, which keep nothing: a checkpoint is restored next.
    pub(super) fn replace(&mut self, experiment: Experiment, strategies: Strategies) {
        self.assembly.strategies = strategies;
        self.assembly.experiment = experiment;
    }

    /// The tensors of a checkpoint.
    pub(super) fn tensors(&self) -> Result<BTreeMap<String, Tensor>, TrainingError> {
        let mut tensors = BTreeMap::new();
        let mut put = |prefix: &str, state: BTreeMap<String, Tensor>| {
            tensors.extend(state.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        };
        put("model/", self.assembly.model.state());
        put("optimizer/", self.optimizer.state());
        put("plugin/", self.assembly.strategies.objectives.state()?);
        put("shadow/", self.shadows.state(&self.assembly.strategies.shadows)?);
        Ok(tensors)
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
            Fit::Exact => self.restore_strategies(tensors)?,
            Fit::Where => {
                let places: Vec<_> = self.assembly.strategies.objectives.places().map(str::to_owned).collect();
                let ours = |name: &str| places.iter().any(|place| name.starts_with(&format!("plugin/{place}/")));
                let shadows = self.shadows.fitting(&self.assembly.strategies.shadows, &below(tensors, "shadow/"));
                let shadow = |name: &str| shadows.iter().any(|shadow| name.starts_with(&format!("shadow/{shadow}/")));
                let kept = tensors.iter().filter(|(name, _)| ours(name) || shadow(name));
                self.restore_strategies(&kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect())?;
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
        self.step = checkpoint.map_or(0, |checkpoint| checkpoint.step);
        Ok(())
    }

    /// Gives the strategies what a checkpoint has of theirs.
    fn restore_strategies(&mut self, tensors: &BTreeMap<String, Tensor>) -> Result<(), TrainingError> {
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

    /// Gives the network, and the fusion, the weights of a checkpoint, to measure with them.
    pub(super) fn load_weights(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainingError> {
        self.assembly.model.load_state(&below(&checkpoint.tensors, "model/"))?;
        self.assembly.load_fusion(&checkpoint.tensors)
    }
}

/// An optimizer with the network's parameters.
fn optimizer(assembly: &Assembly) -> Result<Optimizer, TrainingError> {
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
