//! One step of a training.

use lossmith_plugin::objective::{Batch, ComputeError, Objectives};
use lossmith_plugin::{Cause, Metric, Progress, ResultFault, is_exhausted, is_finite};
use tch::{Device, TchError};

use super::assembly::Pass;
use super::event::Event;
use super::training::Training;
use super::training_error::TrainingError;
use crate::data;

impl Training {
    pub(super) fn step(
        &mut self,
        batch: &data::Batch,
        epoch: u64,
        steps: u64,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<(String, Metric)>, TrainingError> {
        let images = batch.images.f_to_device(self.assembly.device)?;
        let labels = batch.labels.f_to_device(self.assembly.device)?;
        let (embeddings, feature_map) = self.assembly.forward(&images, Pass::Step(self.step))?;
        let view = self.teacher.as_ref().map(|teacher| teacher.view(batch, &images, self.step)).transpose()?;
        let (teacher, teacher_feature_map) = view.map(|view| (view.embeddings, view.feature_map)).unzip();
        let progress = self.progress(epoch, steps);
        let start = self.pace.start(epoch, steps);
        let done = self.step + 1 - start;
        let batch = Batch {
            embeddings,
            labels,
            class_count: self.assembly.dataset.train_classes().len() as i64,
            slice_count: self.assembly.experiment.model.slices.into(),
            feature_map,
            teacher,
            teacher_feature_map: teacher_feature_map.flatten(),
            measured: self.logged(done, steps),
        };
        if let Some(session) = &mut self.live.session {
            session.remember(&batch, &progress)?;
        }
        let strategies = &mut self.assembly.strategies;
        let outcome = match strategies.objectives.compute(&batch, &progress) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.check_given(&batch, &error)?;
                return Err(error.into());
            }
        };
        for (slot, level, text) in outcome.lines {
            watch(Event::Line { slot, level, text });
        }
        let mut shaded = self.shadows.compute(&mut strategies.shadows, &batch, &progress, watch)?;
        self.adopt()?;
        self.optimizer.zero_grad()?;
        if !shaded.is_empty() {
            lossmith_torch_shim::retain_gradient(&batch.embeddings)?;
        }
        if let Err(error) = outcome.total.f_backward() {
            return Err(blamed(&mut self.assembly.strategies.objectives, &batch, &progress, error));
        }
        let experiment = &self.assembly.experiment;
        let factor = experiment.learning_rate.factor(epoch * steps + self.step - start, steps, experiment.epochs);
        let norm = self.optimizer.clip()?;
        if self.assembly.device == Device::Cpu {
            // Free here; on another device it would wait, so there the loss is looked at once per interval.
            let value = norm.f_double_value(&[])?;
            if !value.is_finite() {
                let objectives = &mut self.assembly.strategies.objectives;
                // The step failed already; that the reason cannot be found is no other reason.
                let origin = objectives.origin(&batch, &progress).unwrap_or_default();
                return Err(TrainingError::Gradient { value, step: self.step, origin });
            }
        }
        self.on_probation(&outcome.total)?;
        self.optimizer.step(factor)?;
        let mut metrics = outcome.metrics;
        metrics.extend(self.shadows.compare(&mut shaded, &batch.embeddings)?);
        metrics.push(("loss".to_owned(), Metric::Tensor(outcome.total.f_detach()?)));
        metrics.push(("gradient-norm".to_owned(), Metric::Tensor(norm)));
        let rate = self.assembly.experiment.optimizer.learning_rate * factor;
        metrics.push(("learning-rate".to_owned(), Metric::Number(rate)));
        Ok(metrics)
    }

    /// An error if a strategy's result is not finite because what it was given is not: then that is at fault.
    fn check_given(&self, batch: &Batch, error: &ComputeError) -> Result<(), TrainingError> {
        let infinite = matches!(
            error,
            ComputeError::Plugin(error) if matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_)))
        );
        if !infinite {
            return Ok(());
        }
        if !is_finite(&batch.embeddings)? {
            return Err(TrainingError::Network { step: self.step });
        }
        match (&self.teacher, &batch.teacher) {
            (Some(teacher), Some(embeddings)) => Ok(teacher.check_finite(embeddings)?),
            _ => Ok(()),
        }
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
}

/// What a failed backward pass is: the fault of the strategy whose graph it is, where one is found. A machine without
/// memory is no strategy's fault.
pub(super) fn blamed(
    objectives: &mut Objectives,
    batch: &Batch,
    progress: &Progress,
    error: TchError,
) -> TrainingError {
    if is_exhausted(&error.to_string()) {
        return error.into();
    }
    match objectives.culprit(batch, progress) {
        Ok(Some(culprit)) => culprit.into(),
        Ok(None) | Err(_) => error.into(),
    }
}
