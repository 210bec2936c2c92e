//! A training from its first step to its last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use miette::Diagnostic;
use tch::{Device, Tensor};

use super::averages::Averages;
use super::embed::Embedder;
use super::event::{End, Event};
use super::{Optimizer, TrainError};
use crate::data::{self, DataError, Dataset, Sampler};
use crate::eval::{self, EvalError};
use crate::experiment::{DeviceChoice, Experiment, ExperimentError, Precision, Source};
use crate::model::{Group, Model, ModelError};
use crate::objective::{Batch, Bound, Loader, ObjectiveError, Objectives};
use crate::plugin::{Metric, PluginError, Progress, Role, Runtime, Slot};
use crate::run::{self, Manifest, MetricsLog, PluginEntry, Row, RowKind, Run, RunError, Versions};

/// What ended a training.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TrainingError {
    /// The experiment file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] ExperimentError),
    /// The data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Model(#[from] ModelError),
    /// The optimizer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Optimizer(#[from] TrainError),
    /// A loss, a miner, or another strategy.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Objective(#[from] ObjectiveError),
    /// The evaluation.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Evaluation(#[from] EvalError),
    /// The run's folder.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// A loss or gradient that is not finite.
    #[error("{what} is {value} at step {step}; the weights are as before that step")]
    #[diagnostic(help(
        "lower the learning rate, set `optimizer.clip-norm`, or look for a division by zero or a square root at zero in the loss"
    ))]
    NotFinite {
        /// What is not finite.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The step of the run, from 0.
        step: u64,
    },
    /// A part of the data without images.
    #[error("this part of the data has no images")]
    EmptyPart,
    /// There is no such device.
    #[error("there is no device {0}")]
    #[diagnostic(help("`lossmith doctor` lists the devices; `device = \"auto\"` takes what there is"))]
    Device(String),
    /// A tensor operation of the host.
    #[error("libtorch: {0}")]
    Tensor(#[from] tch::TchError),
}

impl From<PluginError> for TrainingError {
    fn from(error: PluginError) -> Self {
        Self::Objective(error.into())
    }
}

/// The metric that chooses the best checkpoint.
const BEST: &str = "map-at-r";

/// A training that is loaded and ready to go.
pub struct Training {
    experiment: Experiment,
    device: Device,
    dataset: Arc<Dataset>,
    sampler: Sampler,
    model: Model,
    optimizer: Optimizer,
    objectives: Objectives,
    fusion: Option<Slot>,
    bound: Vec<Bound>,
    run: Run,
    log: MetricsLog,
    /// Parameters of plugins that the optimizer has.
    adopted: usize,
    /// Steps that are complete.
    step: u64,
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
        let experiment = source.parse()?;
        let device = device(&experiment.device)?;
        if let Some(threads) = experiment.threads {
            tch::set_num_threads(threads as i32);
        }
        lossmith_torch_shim::set_deterministic(true);
        let limits = experiment.limits.clone();
        let mut loader = Loader::new(runtime, source, plugins, device, experiment.seed, limits);
        let objectives = Objectives::load(&experiment.objective, &mut loader)?;
        let fusion = experiment.fusion.as_ref().map(|config| loader.slot("fusion", Role::Fusion, config)).transpose()?;
        let bound = loader.bound().to_vec();
        let dataset = Arc::new(Dataset::open(&experiment.data, experiment.seed)?);
        let sampler = Sampler::new(&experiment.sampler, &dataset, experiment.seed)?;
        let (channels, size) = (dataset.channels() as i64, dataset.size() as i64);
        let model = Model::new(&experiment.model, channels, size, device, experiment.seed)?;
        let mut optimizer = Optimizer::new(experiment.optimizer.clone())?;
        for parameter in model.parameters() {
            let multiplier = match parameter.group {
                Group::Backbone => experiment.optimizer.multipliers.backbone,
                Group::Head => experiment.optimizer.multipliers.head,
            };
            optimizer.add(&parameter.name, &parameter.tensor, multiplier)?;
        }
        experiment.learning_rate.check()?;
        let run = Run::create(&experiment.run.directory, &experiment.name)?;
        record(&run, &experiment, device, &dataset, &bound)?;
        let log = run.open_metrics()?;
        let last = Arc::default();
        Ok(Self {
            experiment, device, dataset, sampler, model, optimizer, objectives, fusion, bound, run, log, adopted: 0, step: 0,
            best: None, last,
        })
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
            data: self.dataset.summary(),
            device: device_name(self.device),
            parameters: self.model.parameter_count(),
            bound: &self.bound,
            epochs: self.experiment.epochs,
            steps,
            from_step: self.step,
        });
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
                // The first error is the one to tell; saving is tried, and a full disk may refuse it.
                let _ = self.checkpoint();
                let _ = self.run.record(run::Event::Failed { error: error.to_string() });
                Err(error)
            }
        }
    }

    fn epochs(&mut self, stop: &AtomicBool, watch: &mut dyn FnMut(Event<'_>)) -> Result<End, TrainingError> {
        let steps = self.sampler.batches_per_epoch() as u64;
        for epoch in self.step / steps..self.experiment.epochs {
            let begun = Instant::now();
            let Some(means) = self.epoch(epoch, stop, watch)? else {
                self.checkpoint()?;
                return Ok(End::Interrupted);
            };
            let complete = epoch + 1;
            let last = complete == self.experiment.epochs;
            let loss = means.get("loss").copied().unwrap_or(f64::NAN);
            self.write(RowKind::Epoch, complete, means)?;
            let due = last || complete.is_multiple_of(self.experiment.evaluation.every.get() as u64);
            let values = if due { self.evaluate("validation")? } else { BTreeMap::new() };
            let best = values.get(&format!("validation/{BEST}")).copied().filter(|value| self.best.is_none_or(|best| *value > best));
            if due && !values.is_empty() {
                self.write(RowKind::Evaluation, complete, values.clone())?;
            }
            if last || best.is_some() || complete.is_multiple_of(self.experiment.run.checkpoint_every.get() as u64) {
                let path = self.checkpoint()?;
                if best.is_some() {
                    self.best = best;
                    self.run.mark_best(complete)?;
                }
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.run.record(run::Event::Checkpoint { epoch: complete, step: self.step, file, best: best.is_some() })?;
                self.run.prune_checkpoints(self.experiment.run.keep.get())?;
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
        let interval = self.experiment.run.log_every.get() as u64;
        let (mut recent, mut whole) = (Averages::default(), Averages::default());
        let mut counted = 0;
        for batch in data::Loader::train_from(&self.dataset, batches, self.experiment.seed, epoch, skipped)? {
            let batch = batch?;
            recent.add(&self.step(&batch, epoch, steps, watch)?)?;
            self.step += 1;
            counted += 1;
            let done = self.step - epoch * steps;
            let mut loss = None;
            if done.is_multiple_of(interval) || done == steps {
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
        let images = batch.images.f_to_device(self.device)?;
        let labels = batch.labels.f_to_device(self.device)?;
        let bf16 = self.experiment.precision == Precision::Bf16;
        let model = &self.model;
        let embeddings = lossmith_torch_shim::autocast(self.device, bf16, || model.forward(&images, true))??;
        let progress = self.progress(epoch, steps);
        let view = Batch {
            embeddings: &embeddings,
            labels: &labels,
            class_count: self.dataset.train_classes().len() as i64,
            slice_count: self.experiment.model.slices.into(),
        };
        let outcome = self.objectives.compute(&view, &progress)?;
        for (slot, level, text) in outcome.lines {
            watch(Event::Line { slot, level, text });
        }
        self.adopt()?;
        self.optimizer.zero_grad()?;
        outcome.total.f_backward()?;
        let factor = self.experiment.learning_rate.factor(self.step, steps, self.experiment.epochs);
        let norm = self.optimizer.gradient_norm()?;
        if self.device == Device::Cpu {
            // Free here; on another device it would wait, so there the loss is looked at once per interval.
            let value = norm.f_double_value(&[])?;
            if !value.is_finite() {
                return Err(TrainingError::NotFinite { what: "the gradient's norm", value, step: self.step });
            }
        }
        self.optimizer.step(factor, &norm)?;
        let mut metrics = outcome.metrics;
        metrics.push(("loss".to_owned(), Metric::Tensor(outcome.total.f_detach()?)));
        metrics.push(("gradient-norm".to_owned(), Metric::Tensor(norm)));
        metrics.push(("learning-rate".to_owned(), Metric::Number(self.experiment.optimizer.learning_rate * factor)));
        Ok(metrics)
    }

    /// Gives the optimizer the parameters that plugins have made.
    fn adopt(&mut self) -> Result<(), TrainingError> {
        if self.objectives.parameter_count() == self.adopted {
            return Ok(());
        }
        let parameters = self.objectives.parameters();
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
        Progress { epoch, epochs: self.experiment.epochs, step: self.step, steps_per_epoch, metrics }
    }

    fn finite(&self, loss: Option<f64>) -> Result<(), TrainingError> {
        match loss.filter(|loss| !loss.is_finite()) {
            Some(value) => Err(TrainingError::NotFinite { what: "the mean loss", value, step: self.step }),
            None => Ok(()),
        }
    }

    /// Measures a part of the data; nothing when it is empty.
    fn evaluate(&mut self, part: &str) -> Result<BTreeMap<String, f64>, TrainingError> {
        let dataset = Arc::clone(&self.dataset);
        let images = if part == "test" { dataset.test() } else { dataset.validation() };
        if images.is_empty() {
            return Ok(BTreeMap::new());
        }
        let steps = self.sampler.batches_per_epoch() as u64;
        let progress = self.progress(self.step / steps, steps);
        let (embeddings, labels) = self.embedder().embed(&dataset, images, &progress)?;
        let config = &self.experiment.evaluation;
        let evaluation = eval::evaluate(&embeddings, &labels, config, self.experiment.seed)?;
        Ok(evaluation.values().into_iter().map(|(name, value)| (format!("{part}/{name}"), value)).collect())
    }

    /// Measures the test part once, with the best checkpoint.
    fn test(&mut self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        let mut epoch = self.experiment.epochs;
        if self.best.is_some() {
            let checkpoint = run::load_checkpoint(&self.run.best_checkpoint())?;
            self.model.load_state(&below(&checkpoint.tensors, "model/"))?;
            epoch = checkpoint.epoch;
        }
        let values = self.evaluate("test")?;
        if !values.is_empty() {
            self.write(RowKind::Evaluation, epoch, values.clone())?;
            watch(Event::Tested { epoch, values: &values });
        }
        Ok(())
    }

    fn embedder(&mut self) -> Embedder<'_> {
        Embedder {
            model: &self.model,
            device: self.device,
            bf16: self.experiment.precision == Precision::Bf16,
            fusion: self.fusion.as_mut(),
            slice_count: self.experiment.model.slices.into(),
            batch_size: self.experiment.evaluation.batch_size.get(),
        }
    }

    fn write(&mut self, kind: RowKind, epoch: u64, values: BTreeMap<String, f64>) -> Result<(), TrainingError> {
        let row = Row { kind, epoch, step: self.step, values };
        self.log.write(&row)?;
        Arc::make_mut(&mut self.last).extend(row.values);
        Ok(())
    }

    /// Writes everything that a later process needs to go on.
    fn checkpoint(&self) -> Result<std::path::PathBuf, TrainingError> {
        let steps = self.sampler.batches_per_epoch() as u64;
        let mut tensors = BTreeMap::new();
        let mut put = |prefix: &str, state: BTreeMap<String, Tensor>| {
            tensors.extend(state.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
        };
        put("model/", self.model.state());
        put("optimizer/", self.optimizer.state());
        put("plugin/", self.objectives.state()?);
        Ok(self.run.save_checkpoint(self.step / steps, self.step, &tensors)?)
    }
}

/// The tensors whose names begin with `prefix`, without it.
pub(crate) fn below(tensors: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let names = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
    names.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
}

fn device(choice: &DeviceChoice) -> Result<Device, TrainingError> {
    match choice {
        DeviceChoice::Auto => Ok(Device::cuda_if_available()),
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) if (*number as i64) < tch::Cuda::device_count() => Ok(Device::Cuda(*number)),
        DeviceChoice::Cuda(number) => Err(TrainingError::Device(format!("cuda:{number}"))),
    }
}

fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => "cpu".to_owned(),
    }
}

/// Writes what it takes to run this again.
fn record(run: &Run, experiment: &Experiment, device: Device, dataset: &Dataset, bound: &[Bound]) -> Result<(), TrainingError> {
    for Bound { plugin, .. } in bound {
        run.store_plugin(&plugin.bytes)?;
    }
    run.write_experiment(&experiment.to_toml())?;
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
        versions: Versions::current(crate::doctor::libtorch_version()),
        seed: experiment.seed,
        device: device_name(device),
        threads: tch::get_num_threads().unsigned_abs(),
        data: dataset.digest().to_owned(),
        commit: run::commit(Path::new(".")),
        plugins: plugins.collect(),
        parent: None,
    })?;
    Ok(())
}
