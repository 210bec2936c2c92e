//! One step of a training.

use lossmith_plugin::objective::{Batch, ComputeError};
use lossmith_plugin::{Cause, Metric, Progress, ResultFault, is_finite};
use tch::Device;

use super::TrainingState;
use crate::data;
use crate::session::Session;
use crate::teacher::Teacher;
use crate::train::assembly::Pass;
use crate::train::event::TrainingEvent;
use crate::train::revisions::Revisions;
use crate::train::training_error::TrainingError;

impl TrainingState {
    /// Trains on a batch and returns the metrics of the step. `progress` is where the training is; in the first steps
    /// of a revision its loss is looked at; the session keeps the batch for the checks of candidates.
    pub(in crate::train) fn train(
        &mut self,
        images: &data::ImageBatch,
        progress: &Progress,
        teacher: Option<&Teacher>,
        revisions: &mut Revisions,
        session: Option<&mut Session>,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Vec<(String, Metric)>, TrainingError> {
        let batch = self.forward(images, progress, teacher)?;
        if let Some(session) = session {
            session.remember(&batch, progress)?;
        }
        let strategies = &mut self.assembly.strategies;
        let outcome = match strategies.objectives.compute(&batch, progress) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.check_given(&batch, teacher, &error)?;
                return Err(error.into());
            }
        };
        for (slot, level, text) in outcome.lines {
            watch(TrainingEvent::Line { slot, level, text });
        }
        let mut shaded = self.shadows.compute(&mut strategies.shadows, &batch, progress, watch)?;
        self.adopt()?;
        self.optimizer.zero_grad()?;
        if !shaded.is_empty() {
            lossmith_torch_shim::retain_gradient(&batch.embeddings)?;
        }
        if let Err(error) = outcome.total.f_backward() {
            let objectives = &mut self.assembly.strategies.objectives;
            return Err(TrainingError::of_backward(objectives, &batch, progress, error));
        }
        let experiment = &self.assembly.experiment;
        let (epoch, steps) = (progress.epoch, progress.steps_per_epoch);
        let step = epoch * steps + self.done(epoch, steps);
        let factor = experiment.learning_rate.factor(step, steps, experiment.epochs);
        let norm = self.optimizer.clip()?;
        if self.assembly.device == Device::Cpu {
            // Free here; on another device it would wait, so there the loss is looked at once per interval.
            let value = norm.f_double_value(&[])?;
            if !value.is_finite() {
                let objectives = &mut self.assembly.strategies.objectives;
                // The step failed already; that the reason cannot be found is no other reason.
                let origin = objectives.origin(&batch, progress).unwrap_or_default();
                return Err(TrainingError::Gradient { value, step: self.step, origin });
            }
        }
        revisions.check_loss(&outcome.total, progress, experiment.session.divergence)?;
        self.optimizer.step(factor)?;
        let mut metrics = outcome.metrics;
        metrics.extend(self.shadows.compare(&mut shaded, &batch.embeddings)?);
        metrics.push(("loss".to_owned(), Metric::Tensor(outcome.total.f_detach()?)));
        metrics.push(("gradient-norm".to_owned(), Metric::Tensor(norm)));
        let rate = self.assembly.experiment.optimizer.learning_rate * factor;
        metrics.push(("learning-rate".to_owned(), Metric::Number(rate)));
        self.step += 1;
        Ok(metrics)
    }

    /// What the network and the teacher make of images.
    fn forward(
        &self,
        images: &data::ImageBatch,
        progress: &Progress,
        teacher: Option<&Teacher>,
    ) -> Result<Batch, TrainingError> {
        let pixels = images.images.f_to_device(self.assembly.device)?;
        let labels = images.labels.f_to_device(self.assembly.device)?;
        let (embeddings, feature_map) = self.assembly.forward(&pixels, Pass::Step(self.step))?;
        let view = teacher.map(|teacher| teacher.view(images, &pixels, self.step)).transpose()?;
        let (teacher, teacher_feature_map) = view.map(|view| (view.embeddings, view.feature_map)).unzip();
        let (epoch, steps) = (progress.epoch, progress.steps_per_epoch);
        Ok(Batch {
            embeddings,
            labels,
            class_count: self.assembly.dataset.train_classes().len() as i64,
            slice_count: self.assembly.experiment.model.slices.into(),
            feature_map,
            teacher,
            teacher_feature_map: teacher_feature_map.flatten(),
            tuples: None,
            thresholds: Vec::new(),
            measured: self.logs(self.done(epoch, steps) + 1, steps),
        })
    }

    /// An error if a strategy's result is not finite because what it was given is not: then that is at fault.
    fn check_given(&self, batch: &Batch, teacher: Option<&Teacher>, error: &ComputeError) -> Result<(), TrainingError> {
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
        match (teacher, &batch.teacher) {
            (Some(teacher), Some(embeddings)) => Ok(teacher.check_finite(embeddings)?),
            _ => Ok(()),
        }
    }
}
