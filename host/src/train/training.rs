//! A training from its first step to its last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tch::{Device, Tensor};

use super::assembly::{Assembly, below, device_name};
use super::averages::Averages;
use super::event::{End, Event};
use super::training_error::TrainingError;
use super::{Optimizer, PartName};
use crate::data::{self, Sampler, SamplerConfig};
use crate::experiment::{Experiment, Source};
use crate::model::Group;
use crate::objective::{Batch, Bound, Places};
use crate::plugin::{Level, Metric, Progress, Role, Runtime};
use crate::run::{self, Manifest, MetricsLog, PluginEntry, Row, RowKind, Run, Status, TeacherEntry, Versions};
use crate::teacher::Teacher;

/// The metric that chooses the best checkpoint.
const BEST: &str = "map-at-r";

/// A training that is loaded and ready to go.
pub struct Training {
    assembly: Assembly,
    teacher: Option<Teacher>,
    sampler: Sampler,
    optimizer: Optimizer,
    run: Run,
    log: MetricsLog,
    /// Parameters of plugins that the optimizer has.
    adopted: usize,
    /// Steps that are complete.
    step: u64,
    /// The step of the last checkpoint.
    saved: Option<u64>,
    best: Option<f64>,
    /// Last values by name, which strategies can ask for.
    last: Arc<BTreeMap<String, f64>>,
}

impl Training {
    /// Loads everything and makes the run's folder. `plugins` is the folder of standard plugins.
    ///
    /// # Errors
    /// What is wrong with the experiment, its plugins, or its data. No run is made then.
    pub fn start(source: &Source, runtime: Arc<Runtime>, plugins: &Path) -> Result<Self, TrainingError> {
        let assembly = Assembly::new(source, runtime, Places::Standard(plugins))?;
        let (sampler, optimizer) = prepare(&assembly)?;
        let teacher = teacher(&assembly)?;
        let Experiment { run: config, name, .. } = &assembly.experiment;
        let run = Run::create(&config.directory, name)?;
        let log =
            record(&run, &assembly, teacher.as_ref()).and_then(|()| Ok(run.open_metrics()?)).inspect_err(|_| {
                // Nothing is in it yet that anybody could use. The first error is the one to tell.
                let _ = std::fs::remove_dir_all(run.path());
            })?;
        let last = Arc::default();
        Ok(Self { assembly, teacher, sampler, optimizer, run, log, adopted: 0, step: 0, saved: None, best: None, last })
    }

    /// Loads a run that was stopped, with the experiment and the components that it kept, as of its last checkpoint.
    ///
    /// # Errors
    /// When the folder is no run, has no checkpoint, is being trained, or what it kept is damaged.
    pub fn resume(path: &Path, runtime: Arc<Runtime>) -> Result<Self, TrainingError> {
        let run = Run::open(path)?;
        if run.status()? == Status::Running {
            return Err(TrainingError::AtWork { run: path.to_owned() });
        }
        let mut assembly = kept(&run, runtime)?;
        let (sampler, mut optimizer) = prepare(&assembly)?;
        let teacher = teacher(&assembly)?;
        if let (Some(teacher), Some(began)) = (&teacher, run.manifest()?.teacher) {
            teacher.check_is(&began.digest)?;
        }
        let newest = run.latest_checkpoint()?.ok_or(TrainingError::NoCheckpoint)?;
        let checkpoint = run::load_checkpoint(&newest)?;
        assembly.model.load_state(&below(&checkpoint.tensors, "model/"))?;
        let on_device = below(&checkpoint.tensors, "plugin/").into_iter();
        let on_device = on_device.map(|(name, tensor)| Ok((name, tensor.f_to_device(assembly.device)?)));
        assembly.objectives.load_state(&on_device.collect::<Result<_, TrainingError>>()?)?;
        let adopted = assembly.objectives.parameter_count();
        for (name, tensor, multiplier) in assembly.objectives.parameters() {
            optimizer.add(&name, &tensor, multiplier)?;
        }
        optimizer.load_state(&below(&checkpoint.tensors, "optimizer/"))?;
        let mut last = BTreeMap::new();
        let mut best: Option<f64> = None;
        for row in run.metrics()?.rows.into_iter().filter(|row| row.step <= checkpoint.step) {
            let value = row.values.get(&format!("validation/{BEST}")).copied();
            best = value.map_or(best, |value| Some(best.map_or(value, |best| best.max(value))));
            last.extend(row.values);
        }
        let log = run.open_metrics()?;
        let step = checkpoint.step;
        let (saved, last) = (Some(step), Arc::new(last));
        Ok(Self { assembly, teacher, sampler, optimizer, run, log, adopted, step, saved, best, last })
    }

    /// The run's folder.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Trains until the last epoch, or until `stop` is set: then the step is finished and the state is saved.
    ///
    /// # Errors
    /// What went wrong. The state before the failing step is saved, as far as the disk allows.
    pub fn train(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Event<'_>)) -> Result<End, TrainingError> {
        let steps = self.sampler.batches_per_epoch() as u64;
        watch(Event::Ready {
            run: self.run.path().to_owned(),
            data: self.assembly.dataset.summary(),
            device: device_name(self.assembly.device),
            parameters: self.assembly.model.parameter_count(),
            bound: &self.assembly.bound,
            teacher: self.teacher.as_ref().map(Teacher::summary),
            epochs: self.assembly.experiment.epochs,
            steps,
            from_step: self.step,
        });
        for slot in self.empty_halves() {
            let text = "a batch has one image of each class, so there are no pairs of one class to learn from; raise `sampler.samples` or `sampler.views`";
            watch(Event::Line { slot, level: Level::Warn, text: text.to_owned() });
        }
        self.run.record(run::Event::Started { process: run::Process::current() })?;
        match self.epochs(stop, watch) {
            Ok(end) => {
                let (epoch, step) = (self.step / steps, self.step);
                self.run.record(match end {
                    End::Finished => run::Event::Finished { epoch, step },
                    End::Interrupted => run::Event::Interrupted { epoch, step },
                })?;
                self.log.sync()?;
                watch(Event::Ended(end));
                Ok(end)
            }
            Err(error) => {
                // The first error is the one to tell; saving is tried, and a full disk may refuse it. Weights that may have
                // learned from a loss that is not finite are not worth it, and a checkpoint of this very step is better: the
                // failed step has updated running means.
                if !matches!(error, TrainingError::Loss { .. }) && self.saved != Some(self.step) {
                    let _ = self.checkpoint();
                }
                let _ = self.run.record(run::Event::Failed { error: error.to_string() });
                Err(error)
            }
        }
    }

    fn epochs(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Event<'_>)) -> Result<End, TrainingError> {
        let steps = self.sampler.batches_per_epoch() as u64;
        for epoch in self.step / steps..self.assembly.experiment.epochs {
            let begun = Instant::now();
            let Some(means) = self.epoch(epoch, stop, watch)? else {
                self.checkpoint()?;
                return Ok(End::Interrupted);
            };
            let complete = epoch + 1;
            let last = complete == self.assembly.experiment.epochs;
            let loss = means.get("loss").copied().unwrap_or(f64::NAN);
            self.write(RowKind::Epoch, complete, means)?;
            let due = last || complete.is_multiple_of(self.assembly.experiment.evaluation.every.get() as u64);
            let values = if due { self.evaluate(PartName::Validation)? } else { BTreeMap::new() };
            let best = values
                .get(&format!("validation/{BEST}"))
                .copied()
                .filter(|value| self.best.is_none_or(|best| *value > best));
            if due && !values.is_empty() {
                self.write(RowKind::Evaluation, complete, values.clone())?;
            }
            if last
                || best.is_some()
                || complete.is_multiple_of(self.assembly.experiment.run.checkpoint_every.get() as u64)
            {
                let path = self.checkpoint()?;
                if best.is_some() {
                    self.best = best;
                    self.run.mark_best(complete)?;
                }
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.run.record(run::Event::Checkpoint {
                    epoch: complete,
                    step: self.step,
                    file,
                    best: best.is_some(),
                })?;
                self.run.prune_checkpoints(self.assembly.experiment.run.keep.get())?;
            }
            let seconds = begun.elapsed().as_secs_f64();
            watch(Event::Epoch { epoch: complete, loss, seconds, values: &values, best: best.is_some() });
        }
        self.test(watch)?;
        Ok(End::Finished)
    }

    /// The steps of an epoch that are not complete yet. Their mean metrics; none when it was stopped.
    fn epoch(
        &mut self,
        epoch: u64,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<BTreeMap<String, f64>>, TrainingError> {
        let mut batches = self.sampler.epoch(epoch);
        let steps = batches.len() as u64;
        let skipped = self.step - epoch * steps;
        batches.drain(..skipped as usize);
        let (mut recent, mut whole) = (Averages::default(), Averages::default());
        let mut counted = 0;
        let preparation = self.teacher.as_ref().and_then(Teacher::preparation);
        let Assembly { dataset, experiment, .. } = &self.assembly;
        for batch in data::Loader::train_from(dataset, batches, experiment.seed, epoch, skipped, preparation)? {
            let batch = batch?;
            recent.add(&self.step(&batch, epoch, steps, watch)?)?;
            self.step += 1;
            counted += 1;
            let done = self.step - epoch * steps;
            let mut loss = None;
            if self.logged(done, steps) {
                let means = recent.take()?;
                loss = means.get("loss").copied();
                self.finite(loss)?;
                whole.merge(&means, counted);
                counted = 0;
                self.write(RowKind::Step, epoch, means)?;
            }
            watch(Event::Step { epoch, step: done, images: batch.indices.len(), loss });
            if stop.load(Ordering::Relaxed) && done < steps {
                return Ok(None);
            }
        }
        Ok(Some(whole.take()?))
    }

    fn step(
        &mut self,
        batch: &data::Batch,
        epoch: u64,
        steps: u64,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<(String, Metric)>, TrainingError> {
        let images = batch.images.f_to_device(self.assembly.device)?;
        let labels = batch.labels.f_to_device(self.assembly.device)?;
        let (embeddings, feature_map) = self.assembly.forward(&images, true)?;
        let teacher = self.teacher.as_ref().map(|teacher| teacher.view(batch, &images)).transpose()?;
        let progress = self.progress(epoch, steps);
        let done = self.step + 1 - epoch * steps;
        let view = Batch {
            embeddings: &embeddings,
            labels: &labels,
            class_count: self.assembly.dataset.train_classes().len() as i64,
            slice_count: self.assembly.experiment.model.slices.into(),
            feature_map: feature_map.as_ref(),
            teacher: teacher.as_ref().map(|view| &view.embeddings),
            teacher_feature_map: teacher.as_ref().and_then(|view| view.feature_map.as_ref()),
            measured: self.logged(done, steps),
        };
        let outcome = self.assembly.objectives.compute(&view, &progress)?;
        for (slot, level, text) in outcome.lines {
            watch(Event::Line { slot, level, text });
        }
        self.adopt()?;
        self.optimizer.zero_grad()?;
        outcome.total.f_backward()?;
        let factor = self.assembly.experiment.learning_rate.factor(self.step, steps, self.assembly.experiment.epochs);
        let norm = self.optimizer.clip()?;
        if self.assembly.device == Device::Cpu {
            // Free here; on another device it would wait, so there the loss is looked at once per interval.
            let value = norm.f_double_value(&[])?;
            if !value.is_finite() {
                return Err(TrainingError::Gradient { value, step: self.step });
            }
        }
        self.optimizer.step(factor)?;
        let mut metrics = outcome.metrics;
        metrics.push(("loss".to_owned(), Metric::Tensor(outcome.total.f_detach()?)));
        metrics.push(("gradient-norm".to_owned(), Metric::Tensor(norm)));
        metrics.push((
            "learning-rate".to_owned(),
            Metric::Number(self.assembly.experiment.optimizer.learning_rate * factor),
        ));
        Ok(metrics)
    }

    /// The transfers whose intra-class half is empty in every batch.
    fn empty_halves(&self) -> Vec<String> {
        let transfers = self.assembly.bound.iter().filter(|bound| bound.role == Role::Transfer);
        let SamplerConfig { samples, views, .. } = self.assembly.experiment.sampler;
        let empty = samples * views == 1;
        transfers.filter(|_| empty).map(|bound| bound.slot.clone()).collect()
    }

    /// Whether a row of metrics is written after so many steps of an epoch.
    fn logged(&self, done: u64, steps: u64) -> bool {
        done == steps || done.is_multiple_of(self.assembly.experiment.run.log_every.get() as u64)
    }

    /// Gives the optimizer the parameters that plugins have made.
    fn adopt(&mut self) -> Result<(), TrainingError> {
        if self.assembly.objectives.parameter_count() == self.adopted {
            return Ok(());
        }
        let parameters = self.assembly.objectives.parameters();
        for (name, tensor, multiplier) in &parameters {
            if !self.optimizer.has(name) {
                self.optimizer.add(name, tensor, *multiplier)?;
            }
        }
        self.adopted = parameters.len();
        Ok(())
    }

    fn progress(&self, epoch: u64, steps_per_epoch: u64) -> Progress {
        let metrics = Arc::clone(&self.last);
        Progress { epoch, epochs: self.assembly.experiment.epochs, step: self.step, steps_per_epoch, metrics }
    }

    fn finite(&self, loss: Option<f64>) -> Result<(), TrainingError> {
        match loss.filter(|loss| !loss.is_finite()) {
            Some(value) => Err(TrainingError::Loss { value, step: self.step }),
            None => Ok(()),
        }
    }

    /// Measures a part of the data; nothing when it is empty.
    fn evaluate(&mut self, part: PartName) -> Result<BTreeMap<String, f64>, TrainingError> {
        let steps = self.sampler.batches_per_epoch() as u64;
        let progress = self.progress(self.step / steps, steps);
        let values = self.assembly.evaluate(part, &progress)?.map(|evaluation| evaluation.values()).unwrap_or_default();
        Ok(values.into_iter().map(|(name, value)| (format!("{part}/{name}"), value)).collect())
    }

    /// Measures the test part once, with the best checkpoint, unless `evaluation.test` is off.
    fn test(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        if !self.assembly.experiment.evaluation.test {
            return Ok(());
        }
        let mut epoch = self.assembly.experiment.epochs;
        if self.best.is_some() {
            let checkpoint = run::load_checkpoint(&self.run.best_checkpoint())?;
            self.assembly.model.load_state(&below(&checkpoint.tensors, "model/"))?;
            epoch = checkpoint.epoch;
        }
        let values = self.evaluate(PartName::Test)?;
        if !values.is_empty() {
            self.write(RowKind::Evaluation, epoch, values.clone())?;
            watch(Event::Tested { epoch, values: &values });
        }
        Ok(())
    }

    fn write(&mut self, kind: RowKind, epoch: u64, values: BTreeMap<String, f64>) -> Result<(), TrainingError> {
        let row = Row { kind, epoch, step: self.step, values };
        self.log.write(&row)?;
        Arc::make_mut(&mut self.last).extend(row.values);
        Ok(())
    }

    /// Writes everything that a later process needs to go on.
    fn checkpoint(&mut self) -> Result<PathBuf, TrainingError> {
        let steps = self.sampler.batches_per_epoch() as u64;
        let mut tensors = BTreeMap::new();
        let mut put = |prefix: &str, state: BTreeMap<String, Tensor>| {
            tensors.extend(state.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        };
        put("model/", self.assembly.model.state());
        put("optimizer/", self.optimizer.state());
        put("plugin/", self.assembly.objectives.state()?);
        let (epoch, inside) = (self.step / steps, self.step % steps);
        let save = if inside == 0 { Run::save_checkpoint } else { Run::save_interrupted };
        let path = save(&self.run, epoch, self.step, &tensors)?;
        self.saved = Some(self.step);
        Ok(path)
    }
}

/// The sampler and the optimizer of an experiment, with the network's parameters in the latter.
fn prepare(assembly: &Assembly) -> Result<(Sampler, Optimizer), TrainingError> {
    let Assembly { experiment, dataset, model, .. } = assembly;
    experiment.learning_rate.check()?;
    let mut optimizer = Optimizer::new(experiment.optimizer.clone())?;
    let multipliers = &experiment.optimizer.multipliers;
    for parameter in model.parameters() {
        let multiplier = match parameter.group {
            Group::Backbone => multipliers.backbone,
            Group::Head => multipliers.head,
        };
        optimizer.add(&parameter.name, &parameter.tensor, multiplier)?;
    }
    Ok((Sampler::new(&experiment.sampler, dataset, experiment.seed)?, optimizer))
}

/// The teacher of an experiment, if it has one.
fn teacher(assembly: &Assembly) -> Result<Option<Teacher>, TrainingError> {
    let Assembly { experiment, dataset, device, .. } = assembly;
    let Some(config) = &experiment.teacher else { return Ok(None) };
    let (folder, batch_size) = (experiment.run.directory.join(".teacher"), experiment.evaluation.batch_size.get());
    Ok(Some(Teacher::load(config, dataset, *device, &folder, batch_size)?))
}

/// The experiment that a run kept, with the components that it kept.
pub(super) fn kept(run: &Run, runtime: Arc<Runtime>) -> Result<Assembly, TrainingError> {
    let source = Source::read(&run.path().join("experiment.toml"), &[])?;
    let plugins = run.manifest()?.plugins.into_iter();
    let places = plugins.map(|plugin| (plugin.slot, run.plugin_path(&plugin.hash))).collect();
    Assembly::new(&source, runtime, Places::Run(&places))
}

/// Writes what it takes to run this again.
fn record(run: &Run, assembly: &Assembly, teacher: Option<&Teacher>) -> Result<(), TrainingError> {
    let Assembly { experiment, device, dataset, bound, .. } = assembly;
    for Bound { plugin, .. } in bound {
        run.store_plugin(&plugin.bytes)?;
    }
    run.write_experiment(&experiment.to_toml()?)?;
    let plugins = bound.iter().map(|Bound { slot, role, strategy, plugin }| PluginEntry {
        slot: slot.clone(),
        role: role.to_string(),
        strategy: strategy.clone(),
        hash: plugin.hash.clone(),
    });
    run.write_manifest(&Manifest {
        name: experiment.name.clone(),
        started: jiff::Timestamp::now(),
        command: std::env::args().collect(),
        versions: Versions::current(lossmith_torch_shim::version()?),
        seed: experiment.seed,
        device: device_name(*device),
        threads: tch::get_num_threads().unsigned_abs(),
        data: dataset.digest().to_owned(),
        commit: run::commit(Path::new(".")),
        plugins: plugins.collect(),
        teacher: teacher
            .map(|teacher| TeacherEntry { name: teacher.name().to_owned(), digest: teacher.digest().to_owned() }),
        parent: None,
    })?;
    Ok(())
}
