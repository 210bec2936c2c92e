//! Probation: the first steps of a revision, in which its loss is looked at.

use std::collections::BTreeMap;

use lossmith_plugin::Progress;
use tch::{TchError, Tensor};

use super::training_error::TrainingError;

/// What losses are compared to, in a checkpoint inside these steps.
const REFERENCE: &str = "probation/reference";

/// The first steps of a revision.
pub(super) struct Probation {
    /// The first step after them.
    until: u64,
    /// What losses are compared to; `None` before the first of these steps.
    reference: Option<f64>,
}

impl Probation {
    /// Of a revision that takes over at a step.
    pub(super) fn new(step: u64, steps: u64) -> Self {
        Self { until: step + steps, reference: None }
    }

    /// As a checkpoint inside these steps has it; `None` if it was written outside. `swapped` is the step at which the
    /// revision took over.
    pub(super) fn restored(
        tensors: &BTreeMap<String, Tensor>,
        swapped: u64,
        steps: u64,
    ) -> Result<Option<Self>, TchError> {
        let Some(reference) = tensors.get(REFERENCE) else { return Ok(None) };
        Ok(Some(Self { until: swapped + steps, reference: Some(reference.f_double_value(&[])?) }))
    }

    /// What a checkpoint inside these steps must know.
    pub(super) fn tensors(&self) -> BTreeMap<String, Tensor> {
        let reference = self.reference.map(|reference| (REFERENCE.to_owned(), Tensor::from(reference)));
        reference.into_iter().collect()
    }

    /// Whether these steps are over when so many of the run are complete.
    pub(super) fn is_over(&self, step: u64) -> bool {
        step >= self.until
    }

    /// An error if a loss is not finite, or is more than `divergence` times the larger of the first one and the one
    /// before these steps. This waits for the device.
    pub(super) fn check(&mut self, loss: &Tensor, progress: &Progress, divergence: f64) -> Result<(), TrainingError> {
        let (value, step) = (loss.f_double_value(&[])?, progress.step);
        if !value.is_finite() {
            return Err(TrainingError::Loss { value, step });
        }
        let before = progress.metrics.get("loss").copied().unwrap_or_default();
        let reference = *self.reference.get_or_insert(value.abs().max(before.abs()));
        let bound = divergence * reference;
        if value.abs() > bound { Err(TrainingError::Divergence { value, bound, step }) } else { Ok(()) }
    }
}
