//! A candidate on a frozen batch of the run.

use std::collections::BTreeMap;
use std::time::Instant;

use lossmith_plugin::objective::{Batch, Objectives, gradient_of};
use lossmith_plugin::{Cause, Progress, ResultFault, State, is_finite};
use tch::{Kind, TchError, Tensor};

use super::refusal::Refusal;
use crate::objective::ObjectiveError;

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
pub(super) struct Measured {
    pub(super) loss: f64,
    /// Of the loss with respect to the embeddings, in 64 bits on the CPU, in one row.
    pub(super) gradient: Tensor,
    pub(super) milliseconds: f64,
}

/// Computes a sample with copies of `states`. The objectives keep what came of these copies.
pub(super) fn measure(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<Measured, Refusal> {
    let begun = Instant::now();
    let (total, leaves) = match run(objectives, sample, states) {
        Ok(made) => made,
        Err(ObjectiveError::Plugin(error)) if matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_))) => {
            let reason = format!("on a batch of the run: {error}");
            return Err(with_origin(reason, objectives, sample, states)?);
        }
        Err(error) => return Err(error.into()),
    };
    let loss = total.f_double_value(&[])?;
    if !loss.is_finite() {
        return Err(with_origin(format!("on a batch of the run its loss is {loss}"), objectives, sample, states)?);
    }
    if let Err(error) = total.f_backward() {
        return Err(match objectives.culprit(&leaves, &sample.progress) {
            Ok(Some(culprit)) => Refusal::from(ObjectiveError::from(culprit)),
            Ok(None) | Err(_) => error.into(),
        });
    }
    let gradient = row(&leaves.embeddings)?.f_to_device(tch::Device::Cpu)?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let mut of = (!is_finite(&gradient)?).then(|| "its gradient".to_owned());
    for (name, parameter, _) in objectives.parameters() {
        if of.is_none() && !is_finite(&row(&parameter)?)? {
            of = Some(format!("the gradient of `{name}`"));
        }
    }
    if let Some(of) = of {
        let reason = format!("on a batch of the run {of} is not finite");
        let refusal = with_origin(reason, objectives, sample, states)?;
        return Err(refusal.with_help("look for a square root or a logarithm at zero, or a division by zero"));
    }
    Ok(Measured { loss, gradient, milliseconds })
}

/// The loss of a sample, and the leaves that its backward pass leads to.
fn run(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<(Tensor, Batch), ObjectiveError> {
    objectives.put_states(copies(states)?);
    let leaves = sample.batch.leaves()?;
    let total = objectives.compute(&leaves, &sample.progress)?.total;
    Ok((total, leaves))
}

/// The gradient of a leaf in 64 bits, in one row.
fn row(leaf: &Tensor) -> Result<Tensor, TchError> {
    gradient_of(leaf)?.f_to_kind(Kind::Double)?.f_reshape([-1])
}

/// The reason with the operation that made something that is not finite first, if it can be told.
fn with_origin(
    reason: String,
    objectives: &mut Objectives,
    sample: &Sample,
    states: &States,
) -> Result<Refusal, TchError> {
    objectives.put_states(copies(states)?);
    let origin = objectives.origin(&sample.batch, &sample.progress)?;
    Ok(Refusal::new(match origin {
        Some(origin) => format!("{reason}: {origin}"),
        None => reason,
    }))
}

/// The cosine of two gradients; none if one of them is 0.
pub(super) fn cosine(a: &Tensor, b: &Tensor) -> Result<Option<f64>, TchError> {
    let norms = a.f_norm()?.f_double_value(&[])? * b.f_norm()?.f_double_value(&[])?;
    let product = a.f_dot(b)?.f_double_value(&[])?;
    Ok((norms > 0.0).then_some(product / norms))
}

/// The same states with tensors of their own.
pub(super) fn copies(states: &States) -> Result<States, tch::TchError> {
    states.iter().map(|(place, state)| Ok((place.clone(), state.copy()?))).collect()
}
