//! A training from its first step to its last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::Optimizer;
use super::assembly::{Assembly, device_name};
use super::averages::Averages;
use super::epoch_steps::Pace;
use super::event::{End, Event};
use super::interrupts::Interrupts;
use super::revisions::Live;
use super::shadows::Shadows;
use super::training_error::TrainingError;
use crate::data::{self, PartName, Sampler, SamplerConfig};
use crate::eval::class_name;
use crate::experiment::{Experiment, OnFault};
use crate::run::{self, Claim, Confusion, MetricsLog, Row, RowKind, Run};
use crate::teacher::Teacher;
use lossmith_plugin::{Level, Progress, Role, Runtime};

/// A training that is loaded and ready to go.
pub struct Training {
    pub(super) runtime: Arc<Runtime>,
    pub(super) assembly: Assembly,
    pub(super) teacher: Option<Teacher>,
    pub(super) sampler: Sampler,
    pub(super) optimizer: Optimizer,
    pub(super) shadows: Shadows,
    pub(super) run: Run,
    pub(super) log: MetricsLog,
    /// Parameters of plugins that the optimizer has.
    pub(super) adopted: usize,
    /// Steps that are complete.
    pub(super) step: u64,
    /// Where the epochs of the present length began.
    pub(super) pace: Pace,
    /// Keeps other processes from training the run.
    pub(super) claim: Option<Claim>,
    /// The step of the last checkpoint.
    pub(super) saved: Option<u64>,
    pub(super) best: Option<f64>,
    /// Evaluations since the best one.
    pub(super) stale: usize,
    /// Last values by name, which strategies can ask for.
    pub(super) last: Arc<BTreeMap<String, f64>>,
    /// Metrics since the last row of steps, and of the whole epoch up to there.
    pub(super) recent: Averages,
    pub(super) whole: Averages,
    pub(super) live: Live,
    /// To be told when the training begins.
    pub(super) warnings: Vec<String>,
    /// Whether it was told that nothing trains the fusion.
    pub(super) fusion_told: bool,
}

/// The steps of an epoch.
struct Epoch {
    begun: Instant,
    /// Their mean metrics.
    means: BTreeMap<String, f64>,
}

impl Training {
    /// The run's folder.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Trains until the last epoch, or until a signal stops it: then the step is finished and the state is saved.
    ///
    /// # Errors
    /// What went wrong. The state before the failing step is saved, as far as the disk allows.
    pub fn train(&mut self, interrupts: &Interrupts, watch: &mut dyn FnMut(Event<'_>)) -> Result<End, TrainingError> {
        let steps = self.steps();
        self.run.record(run::Event::Started { process: run::Process::current() })?;
        if self.claim.is_none() {
            // By now the journal says, too, that the run is at work.
            self.claim = self.run.claim().ok().flatten();
        }
        watch(Event::Ready {
            run: self.run.path().to_owned(),
            data: Box::new(self.assembly.dataset.summary()),
            device: device_name(self.assembly.device),
            parameters: self.assembly.model.parameter_count(),
            // Later the weights are those of a checkpoint.
            weights: self.assembly.model.loaded().filter(|_| self.step == 0).map(str::to_owned),
            bound: &self.assembly.strategies.bound,
            teacher: self.teacher.as_ref().map(Teacher::summary),
            epochs: self.assembly.experiment.epochs,
            steps,
            from_step: self.step,
        });
        for slot in self.empty_halves() {
            let text = "a batch has one image of each class, so there are no pairs of one class to learn from; raise \
                `sampler.samples` or `sampler.views`";
            watch(Event::Line { slot, level: Level::Warn, text: text.to_owned() });
        }
        self.warn(watch);
        for text in self.assembly.data_warnings() {
            watch(Event::Line { slot: "data".to_owned(), level: Level::Warn, text });
        }
        self.shadows.begin();
        let ended = self.epochs(interrupts, watch);
        interrupts.set_unsaved(self.unsaved());
        self.drop_staged(watch);
        match ended {
            Ok(end) => {
                let (epoch, step) = (self.epoch_count(), self.step);
                self.run.record(match end {
                    End::Finished => run::Event::Finished { epoch, step },
                    End::Interrupted => run::Event::Interrupted { epoch, step },
                })?;
                self.log.sync()?;
                watch(Event::Ended(end));
                Ok(end)
            }
            Err(error) => {
                // The first error is the one to tell; saving is tried, and a full disk may refuse it. Weights that may
                // have learned from a loss that is not finite are not worth it, and a checkpoint of this very step is
                // better: the failed step has updated running means. Where the record could not be written, it lacks
                // what the state has.
                let unsaved = self.saved != Some(self.step);
                if !matches!(error, TrainingError::Loss { .. } | TrainingError::Run(_)) && unsaved {
                    let _ = self.checkpoint();
                }
                let _ = self.run.record(run::Event::Failed { error: error.to_string() });
                Err(error)
            }
        }
    }

    fn epochs(&mut self, interrupts: &Interrupts, watch: &mut dyn FnMut(Event<'_>)) -> Result<End, TrainingError> {
        self.make_up(watch)?;
        loop {
            self.boundary(interrupts, watch)?;
            if self.wants_back() {
                self.revert_weights(watch)?;
                continue;
            }
            let epoch = self.epoch_count();
            let until = self.live.until.unwrap_or(u64::MAX);
            if epoch >= self.assembly.experiment.epochs || self.step >= until {
                break;
            }
            if self.out_of_patience() {
                self.stop_early(watch)?;
                break;
            }
            if interrupts.stopped() {
                self.way_back()?;
                return Ok(End::Interrupted);
            }
            match self.epoch(epoch, interrupts, watch).and_then(|whole| match whole {
                Some(epoch) => self.end_epoch(epoch, watch).map(|()| true),
                None => Ok(false),
            }) {
                Ok(true) => {}
                Ok(false) if self.wants_back() => {}
                Ok(false) => {
                    self.checkpoint()?;
                    return Ok(End::Interrupted);
                }
                Err(error) => self.roll_back(error, watch)?,
            }
        }
        if self.epoch_count() < self.assembly.experiment.epochs && !self.out_of_patience() {
            return Ok(End::Interrupted);
        }
        self.test(watch)?;
        // Nothing goes back any more.
        self.run.prune_checkpoints(self.assembly.experiment.run.keep.get(), &BTreeSet::new())?;
        Ok(End::Finished)
    }

    /// The steps of an epoch that are not complete yet. None when it was stopped, or when an earlier state is wanted.
    fn epoch(
        &mut self,
        epoch: u64,
        interrupts: &Interrupts,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Epoch>, TrainingError> {
        let begun = Instant::now();
        let mut batches = self.sampler.epoch(epoch);
        let steps = batches.len() as u64;
        let start = self.pace.start(epoch, steps);
        let skipped = self.step - start;
        batches.drain(..skipped as usize);
        if skipped == 0 {
            (self.recent, self.whole) = (Averages::default(), Averages::default());
        }
        let mut logged = skipped - skipped % self.assembly.experiment.run.log_every.get() as u64;
        let preparation = self.teacher.as_ref().and_then(Teacher::preparation);
        let Assembly { dataset, experiment, .. } = &self.assembly;
        for batch in data::Loader::train_from(dataset, batches, experiment.seed, epoch, skipped, preparation)? {
            let batch = batch?;
            let metrics = self.step(&batch, epoch, steps, watch)?;
            self.recent.add(&metrics)?;
            self.step += 1;
            interrupts.set_unsaved(self.unsaved());
            let done = self.step - start;
            let mut loss = None;
            if self.logged(done, steps) {
                let means = self.recent.take()?;
                loss = means.get("loss").copied();
                self.finite(loss)?;
                self.whole.merge(&means, done - logged);
                logged = done;
                self.write(RowKind::Step, epoch, means)?;
            }
            self.end_probation(done == steps);
            let epochs = self.assembly.experiment.epochs;
            watch(Event::Step { epoch, epochs, step: done, images: batch.indices.len(), loss });
            self.report(loss);
            if done < steps {
                self.attend(interrupts, watch)?;
                if interrupts.stopped() || self.wants_back() {
                    return Ok(None);
                }
                let every = self.assembly.experiment.run.checkpoint_steps;
                if every.is_some_and(|every| done.is_multiple_of(every.get() as u64)) {
                    self.checkpoint()?;
                }
            }
        }
        Ok(Some(Epoch { begun, means: self.whole.take()? }))
    }

    /// Measures and saves what an epoch came to.
    fn end_epoch(
        &mut self,
        Epoch { begun, means }: Epoch,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainingError> {
        let complete = self.epoch_count();
        let loss = means.get("loss").copied().unwrap_or(f64::NAN);
        if means.get("gradient-norm") == Some(&0.0) {
            let text = "the gradient was 0 in every step of this epoch: nothing was learned";
            watch(Event::Line { slot: "training".to_owned(), level: Level::Warn, text: text.to_owned() });
        }
        self.write(RowKind::Epoch, complete, means)?;
        self.measure(loss, begun, watch)
    }

    /// Whether the epoch that is complete is to be measured.
    fn due(&self) -> bool {
        let complete = self.epoch_count();
        let Experiment { epochs, evaluation, .. } = &self.assembly.experiment;
        complete == *epochs || complete.is_multiple_of(evaluation.every.get() as u64)
    }

    /// Measures the epoch that is complete, where the process before this one had trained it and failed to measure it.
    fn make_up(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        let measurable = !self.assembly.dataset.validation().is_empty();
        if !self.live.resumed || self.inside() != 0 || !self.due() || !measurable {
            return Ok(());
        }
        let rows = self.run.metrics()?.rows;
        let row = |kind| rows.iter().rfind(|row| row.kind == kind && row.step == self.step);
        match (row(RowKind::Epoch), row(RowKind::Evaluation)) {
            (Some(epoch), None) => {
                let loss = epoch.values.get("loss").copied().unwrap_or(f64::NAN);
                self.measure(loss, Instant::now(), watch)
            }
            _ => Ok(()),
        }
    }

    /// Measures the validation part, if that is due, and saves the epoch.
    fn measure(&mut self, loss: f64, begun: Instant, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        let complete = self.epoch_count();
        let last = complete == self.assembly.experiment.epochs;
        let due = self.due();
        let values = if due { self.evaluate(PartName::Validation, watch)? } else { BTreeMap::new() };
        // A fusion may have made its parameters just now.
        self.adopt()?;
        let best = if values.is_empty() { None } else { self.better(&values)? };
        if values.contains_key(&self.best_metric()) {
            self.stale = if best.is_some() { 0 } else { self.stale + 1 };
        }
        let last = last || self.out_of_patience();
        if due && !values.is_empty() {
            self.write(RowKind::Evaluation, complete, values.clone())?;
        }
        if self.assembly.strategies.objectives.untrained_fusion() && !std::mem::replace(&mut self.fusion_told, true) {
            let text = "it has trainable parameters, and no objective trains them: add one with `on = \"fused\"` or \
                `on = \"fused-only\"`";
            watch(Event::Line { slot: "fusion".to_owned(), level: Level::Warn, text: text.to_owned() });
        }
        let every = self.assembly.experiment.run.checkpoint_every.get() as u64;
        // A way back to the start of each epoch, where one may be needed.
        let way_back = self.live.revision() > 0 && self.assembly.experiment.session.on_fault == OnFault::Rollback;
        if last || best.is_some() || way_back || complete.is_multiple_of(every) {
            self.save_epoch(best)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let epochs = self.assembly.experiment.epochs;
        watch(Event::Epoch { epoch: complete, epochs, loss, seconds, values: &values, best: best.is_some() });
        Ok(())
    }

    /// The name of the metric that marks the best checkpoint.
    pub(super) fn best_metric(&self) -> String {
        format!("{}/{}", PartName::Validation, self.assembly.experiment.evaluation.best)
    }

    /// The metric that marks the best checkpoint, if it is the best so far.
    fn better(&self, values: &BTreeMap<String, f64>) -> Result<Option<f64>, TrainingError> {
        let metric = self.best_metric();
        let Some(value) = values.get(&metric).copied() else {
            if !self.assembly.dataset.validation().has_pair() {
                // That was told at the start.
                return Ok(None);
            }
            let prefix = format!("{}/", PartName::Validation);
            let measured: Vec<String> =
                values.keys().filter_map(|name| Some(name.strip_prefix(&prefix)?.to_owned())).collect();
            return Err(TrainingError::NotMeasured {
                metric: self.assembly.experiment.evaluation.best.clone(),
                measured,
            });
        };
        let direction = run::Direction::of(&metric).unwrap_or(run::Direction::Neither);
        Ok(Some(value).filter(|value| direction.is_better(*value, self.best)))
    }

    /// Writes the checkpoint of an epoch. `best` is its metric if that is the best so far.
    pub(super) fn save_epoch(&mut self, best: Option<f64>) -> Result<(), TrainingError> {
        let (epoch, step) = (self.epoch_count(), self.step);
        let path = self.checkpoint()?;
        if best.is_some() {
            self.best = best;
            self.run.mark_best(epoch)?;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Err(error) = self.run.record(run::Event::Checkpoint { epoch, step, file, best: best.is_some() }) {
            // Nothing that a run goes on from is only there.
            self.warnings.push(format!("a checkpoint is not in the journal: {error}"));
        }
        Ok(self.run.prune_checkpoints(self.assembly.experiment.run.keep.get(), &self.live.ways_back())?)
    }

    /// Tells what is to be told.
    pub(super) fn warn(&mut self, watch: &mut dyn FnMut(Event<'_>)) {
        for text in std::mem::take(&mut self.warnings) {
            watch(Event::Line { slot: "session".to_owned(), level: Level::Warn, text });
        }
    }

    /// The transfers whose intra-class half is empty in every batch.
    fn empty_halves(&self) -> Vec<String> {
        let transfers = self.assembly.strategies.bound.iter().filter(|bound| bound.role == Role::Transfer);
        let SamplerConfig { samples, views, .. } = self.assembly.experiment.sampler;
        let empty = samples * views == 1;
        transfers.filter(|_| empty).map(|bound| bound.slot.clone()).collect()
    }

    /// Steps that no checkpoint has.
    pub(super) fn unsaved(&self) -> u64 {
        self.step.saturating_sub(self.saved.unwrap_or_default())
    }

    /// Steps of an epoch.
    pub(super) fn steps(&self) -> u64 {
        self.sampler.batches_per_epoch() as u64
    }

    /// Whether a row of metrics is written after so many steps of an epoch.
    pub(super) fn logged(&self, done: u64, steps: u64) -> bool {
        done == steps || done.is_multiple_of(self.assembly.experiment.run.log_every.get() as u64)
    }

    pub(super) fn progress(&self, epoch: u64, steps_per_epoch: u64) -> Progress {
        let metrics = Arc::clone(&self.last);
        Progress {
            epoch,
            epochs: self.assembly.experiment.epochs,
            step: self.step,
            steps_per_epoch,
            metrics,
            place: String::new(),
        }
    }

    fn finite(&self, loss: Option<f64>) -> Result<(), TrainingError> {
        match loss.filter(|loss| !loss.is_finite()) {
            Some(value) => Err(TrainingError::Loss { value, step: self.step }),
            None => Ok(()),
        }
    }

    /// Measures a part of the data; nothing when it is empty.
    fn evaluate(
        &mut self,
        part: PartName,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<BTreeMap<String, f64>, TrainingError> {
        let steps = self.steps();
        let progress = self.progress(self.epoch_count(), steps);
        let mut watch = |now| watch(Event::Measuring { part, now });
        let Some(evaluation) = self.assembly.evaluate(part, &progress, &mut watch)? else {
            return Ok(BTreeMap::new());
        };
        let names = self.assembly.dataset.class_names();
        for (classifier, classification) in &evaluation.classification {
            let classes = classification.classes.iter().map(|class| class_name(names, *class)).collect();
            let confusion = Confusion {
                part: part.to_string(),
                classifier: classifier.to_string(),
                epoch: self.epoch_count(),
                step: self.step,
                classes,
                confusion: classification.confusion.clone(),
            };
            self.run.record_confusion(&confusion)?;
        }
        let values = evaluation.values(names).into_iter();
        Ok(values.map(|(name, value)| (format!("{part}/{name}"), value)).collect())
    }

    /// Measures the test part at the end of the last epoch, once, with the best checkpoint, unless `evaluation.test` is
    /// off.
    fn test(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        if !self.assembly.experiment.evaluation.test {
            return Ok(());
        }
        let tested = |row: &Row| row.step == self.step && row.values.keys().any(|name| name.starts_with("test/"));
        if self.run.metrics()?.rows.iter().any(tested) {
            // Before the run was stopped.
            return Ok(());
        }
        let mut epoch = self.assembly.experiment.epochs;
        if self.best.is_some() {
            epoch = self.load_best()?;
        }
        let values = self.evaluate(PartName::Test, watch)?;
        if !values.is_empty() {
            self.write(RowKind::Evaluation, epoch, values.clone())?;
            watch(Event::Tested { epoch, values: &values });
        }
        Ok(())
    }

    /// Takes over the last values of the run that this one branches from. That its test part was measured does not
    /// count here.
    pub(super) fn inherit(&mut self, epoch: u64, mut values: BTreeMap<String, f64>) -> Result<(), TrainingError> {
        values.retain(|name, _| !name.starts_with("test/") && !name.starts_with("shadow."));
        self.write(RowKind::Origin, epoch, values)
    }

    fn write(&mut self, kind: RowKind, epoch: u64, values: BTreeMap<String, f64>) -> Result<(), TrainingError> {
        let row = Row { kind, epoch, step: self.step, values };
        self.log.write(&row)?;
        // How often a shadow is computed depends on the clock: nothing that trains may see its numbers.
        let values = row.values.into_iter().filter(|(name, _)| !name.starts_with("shadow."));
        Arc::make_mut(&mut self.last).extend(values);
        Ok(())
    }
}
