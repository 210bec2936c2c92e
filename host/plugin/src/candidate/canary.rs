//! A candidate on a frozen batch of the run.

use std::collections::BTreeMap;
use std::time::Instant;

use tch::{Kind, TchError, Tensor};

use super::error::CandidateError;
use crate::objective::{Batch, ComputeError, Objectives, gradient_of};
use crate::{Cause, Progress, ResultFault, State, is_finite};

/// The batch of a step, without gradient. Nobody writes to these tensors.
pub struct Sample {
    /// The batch.
    pub batch: Batch,
    /// Where the training was.
    pub progress: Progress,
}

impl Sample {
    /// Another handle of the same data.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self { batch: self.batch.shallow_clone(), progress: self.progress.clone() }
    }
}

/// What each slot keeps, by its place.
pub type States = BTreeMap<String, State>;

/// What objectives made of a sample.
pub struct Measured {
    /// The loss.
    pub loss: f64,
    /// Of the loss with respect to the embeddings, in 64 bits on the CPU, in one row.
    pub gradient: Tensor,
    /// How long it took.
    pub milliseconds: f64,
}

/// Computes a sample with copies of `states`. The objectives keep what came of these copies.
///
/// # Errors
/// It cannot be computed, or loss or gradients are not finite.
pub fn measure(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<Measured, CandidateError> {
    let begun = Instant::now();
    let (total, leaves) = match run(objectives, sample, states) {
        Ok(made) => made,
        Err(ComputeError::Plugin(error)) if matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_))) => {
            let origin = origin(objectives, sample, states)?;
            return Err(CandidateError::Result { error: Box::new(error), origin });
        }
        Err(error) => return Err(error.into()),
    };
    let loss = total.f_double_value(&[])?;
    if !loss.is_finite() {
        return Err(CandidateError::Loss { value: loss, origin: origin(objectives, sample, states)? });
    }
    if let Err(error) = total.f_backward() {
        return Err(match objectives.culprit(&leaves, &sample.progress) {
            Ok(Some(culprit)) => culprit.into(),
            Ok(None) | Err(_) => error.into(),
        });
    }
    let gradient = row(&leaves.embeddings)?.f_to_device(tch::Device::Cpu)?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    if !is_finite(&gradient)? {
        return Err(CandidateError::Gradient { parameter: None, origin: origin(objectives, sample, states)? });
    }
    for (name, parameter, _) in objectives.parameters() {
        if !is_finite(&row(&parameter)?)? {
            let origin = origin(objectives, sample, states)?;
            return Err(CandidateError::Gradient { parameter: Some(name), origin });
        }
    }
    Ok(Measured { loss, gradient, milliseconds })
}

/// The loss of a sample, and the leaves that its backward pass leads to.
fn run(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<(Tensor, Batch), ComputeError> {
    objectives.put_states(copies(states)?);
    let leaves = sample.batch.leaves()?;
    let total = objectives.compute(&leaves, &sample.progress)?.total;
    Ok((total, leaves))
}

/// The gradient of a leaf in 64 bits, in one row.
fn row(leaf: &Tensor) -> Result<Tensor, TchError> {
    gradient_of(leaf)?.f_to_kind(Kind::Double)?.f_reshape([-1])
}

/// The operation that made something that is not finite first, if it can be told.
fn origin(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<Option<String>, TchError> {
    objectives.put_states(copies(states)?);
    objectives.origin(&sample.batch, &sample.progress)
}

/// The cosine of two gradients; `None` if one of them is 0.
///
/// # Errors
/// They have another number of elements.
pub fn cosine(a: &Tensor, b: &Tensor) -> Result<Option<f64>, TchError> {
    let norms = a.f_norm()?.f_double_value(&[])? * b.f_norm()?.f_double_value(&[])?;
    let product = a.f_dot(b)?.f_double_value(&[])?;
    Ok((norms > 0.0).then_some(product / norms))
}

/// The same states with tensors of their own.
///
/// # Errors
/// What libtorch says.
pub fn copies(states: &States) -> Result<States, TchError> {
    states.iter().map(|(place, state)| Ok((place.clone(), state.copy()?))).collect()
}
