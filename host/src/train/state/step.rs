//! One step of a training.

use lossmith_plugin::objective::{Batch, ComputeError};
use lossmith_plugin::{Cause, Metric, Progress, ResultFault, is_finite};
use lossmith_torch_shim::{is_free_to_read, upload};
use tch::Tensor;

use super::TrainingState;
use super::pixels::Pixels;
use crate::data;
use crate::model::Parts;
use crate::session::Session;
use crate::teacher::Teacher;
use crate::train::assembly::Pass;
use crate::train::event::TrainingEvent;
use crate::train::gradient_cache::{first_pass, second_pass};
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
        let parts = Parts::new(images.indices.len(), self.experiment().training.micro_batch);
        let pixels = Pixels::new(images, parts, self.assembly.device)?;
        // What buffers were before the first pass, for the second one.
        let buffers = if parts.are_one() { Vec::new() } else { self.assembly.model.copy_buffers()? };
        let batch = self.forward(images, &pixels, progress, teacher)?;
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
        if !parts.are_one() {
            second_pass(parts, (&batch.embeddings, batch.feature_map.as_ref()), |part| {
                if part == 0 {
                    // Running statistics go the same way again, and come to where the first pass left them.
                    self.assembly.model.put_back_buffers(&buffers)?;
                }
                self.embed(&pixels, part)
            })?;
        }
        let experiment = &self.assembly.experiment;
        let (epoch, steps) = (progress.epoch, progress.steps_per_epoch);
        let step = epoch * steps + self.done(epoch, steps);
        let factor = experiment.learning_rate.factor(step, steps, experiment.epochs);
        let norm = self.optimizer.clip()?;
        if is_free_to_read(&norm) {
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

    /// What the network makes of a part of a batch. To call it again gives the same, also what is drawn.
    fn embed(&self, pixels: &Pixels, part: usize) -> Result<(Tensor, Option<Tensor>), TrainingError> {
        self.assembly.forward(&pixels.part(part)?, Pass::Step(self.step, part))
    }

    /// What the network and the teacher make of images.
    fn forward(
        &self,
        images: &data::ImageBatch,
        pixels: &Pixels,
        progress: &Progress,
        teacher: Option<&Teacher>,
    ) -> Result<Batch, TrainingError> {
        let labels = upload(&images.labels, self.assembly.device)?;
        let parts = pixels.parts;
        let (embeddings, feature_map) =
            if parts.are_one() { self.embed(pixels, 0)? } else { first_pass(parts, |part| self.embed(pixels, part))? };
        let view = teacher.map(|teacher| teacher.view(images, parts, |part| pixels.part(part), self.step));
        let view = view.transpose()?;
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
