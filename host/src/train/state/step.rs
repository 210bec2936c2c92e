//! One step of a training.

use lossmith_plugin::objective::{Batch, ComputeError, Outcome};
use lossmith_plugin::{Cause, Metric, Progress, ResultFault, is_finite};
use lossmith_torch_shim::{is_free_to_read, upload};
use tch::Tensor;

use super::TrainingState;
use super::pixels::Pixels;
use super::shared::{SharedBatch, add_gradients};
use crate::data;
use crate::model::Parts;
use crate::ranks::Wish;
use crate::session::Session;
use crate::teacher::Teacher;
use crate::train::assembly::Pass;
use crate::train::event::TrainingEvent;
use crate::train::gradient_cache::{first_pass, second_pass};
use crate::train::revisions::Revisions;
use crate::train::shadows::Shaded;
use crate::train::training_error::TrainingError;

/// Who looks at a step, in the process that has the run's record.
#[derive(Default)]
pub(in crate::train) struct Looks<'a> {
    pub(in crate::train) revisions: Option<&'a mut Revisions>,
    pub(in crate::train) session: Option<&'a mut Session>,
}

impl TrainingState {
    /// Trains on a batch and returns the metrics of the step. `progress` is where the training is; in the first steps
    /// of a revision its loss is looked at; the session keeps the batch for the checks of candidates. Where several
    /// ranks train, `images` are those of this one, and `wish` is what a signal asks of it: it becomes what any rank is
    /// asked.
    pub(in crate::train) fn train(
        &mut self,
        images: &data::ImageBatch,
        progress: &Progress,
        teacher: Option<&Teacher>,
        looks: Looks<'_>,
        wish: &mut Wish,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Vec<(String, Metric)>, TrainingError> {
        let trained = self.compute(images, progress, teacher, looks, wish, watch);
        trained.map_err(|error| match (&error, &self.ranks) {
            (TrainingError::Ranks(_), _) | (_, None) => error,
            (_, Some(ranks)) => ranks.lost_meanwhile(&error.to_string()).map_or(error, TrainingError::from),
        })
    }

    fn compute(
        &mut self,
        images: &data::ImageBatch,
        progress: &Progress,
        teacher: Option<&Teacher>,
        looks: Looks<'_>,
        wish: &mut Wish,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<Vec<(String, Metric)>, TrainingError> {
        let own = images.indices.len();
        // As many parts as the largest share has, so that all ranks compute a part at the same time.
        let largest = if self.ranks.is_some() { self.share().most(self.batch_size()) } else { own };
        let parts = Parts::new(largest, self.experiment().training.micro_batch).of(own);
        let pixels = Pixels::new(images, parts, self.assembly.device)?;
        // What buffers were before the first pass, for the second one.
        let buffers = if parts.are_one() { Vec::new() } else { self.assembly.model.copy_buffers()? };
        let own = self.forward(images, &pixels, progress, teacher)?;
        let ranks = self.ranks.clone();
        let count = self.batch_size();
        let shared = ranks.as_ref().map(|ranks| SharedBatch::gather(ranks, &own, count)).transpose()?;
        let batch = shared.as_ref().map_or(&own, |shared| &shared.whole);
        if let Some(session) = looks.session {
            session.remember(batch, progress)?;
        }
        let computed = self.objectives(batch, progress, teacher, watch);
        if let Some(ranks) = &ranks {
            // Before anything that all ranks do together: one that failed would not come.
            let failure = computed.as_ref().err().map(ToString::to_string);
            let agreed = ranks.agree(failure.as_deref(), *wish);
            if computed.is_ok() {
                *wish = agreed?;
            }
        }
        let (outcome, mut shaded) = computed?;
        if let (Some(shared), true) = (&shared, parts.are_one()) {
            shared.carry_back(&own)?;
        }
        if !parts.are_one() {
            let left = shared.as_ref().map_or((&own.embeddings, own.feature_map.as_ref()), SharedBatch::leaves);
            second_pass(parts, left, |part| {
                if part == 0 {
                    // Running statistics go the same way again, and come to where the first pass left them.
                    self.assembly.model.put_back_buffers(&buffers)?;
                }
                self.embed(&pixels, part)
            })?;
        }
        if let Some(ranks) = &ranks {
            add_gradients(ranks, self.assembly.model.parameters())?;
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
                let origin = objectives.origin(batch, progress).unwrap_or_default();
                return Err(TrainingError::Gradient { value, step: self.step, origin });
            }
        }
        if let Some(revisions) = looks.revisions {
            revisions.check_loss(&outcome.total, progress, experiment.session.divergence)?;
        }
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

    /// Computes the objectives of a batch, and leaves their gradient at what the network gave.
    fn objectives(
        &mut self,
        batch: &Batch,
        progress: &Progress,
        teacher: Option<&Teacher>,
        watch: &mut dyn FnMut(TrainingEvent<'_>),
    ) -> Result<(Outcome, Vec<Shaded>), TrainingError> {
        let strategies = &mut self.assembly.strategies;
        let mut outcome = match strategies.objectives.compute(batch, progress) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.check_given(batch, teacher, &error)?;
                return Err(error.into());
            }
        };
        for (slot, level, text) in std::mem::take(&mut outcome.lines) {
            watch(TrainingEvent::Line { slot, level, text });
        }
        let shaded = self.shadows.compute(&mut strategies.shadows, batch, progress, watch)?;
        self.adopt()?;
        self.optimizer.zero_grad()?;
        if !shaded.is_empty() {
            lossmith_torch_shim::retain_gradient(&batch.embeddings)?;
        }
        match outcome.total.f_backward() {
            Ok(()) => Ok((outcome, shaded)),
            Err(error) => {
                let objectives = &mut self.assembly.strategies.objectives;
                Err(TrainingError::of_backward(objectives, batch, progress, error))
            }
        }
    }

    /// What the network makes of a part of a batch. To call it again gives the same, also what is drawn.
    fn embed(&self, pixels: &Pixels, part: usize) -> Result<(Tensor, Option<Tensor>), TrainingError> {
        // What is drawn for the parts of other ranks is drawn there.
        let before = self.share().rank() * pixels.parts.count();
        self.assembly.forward(&pixels.part(part)?, Pass::Step(self.step, before + part))
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
