//! A candidate on a frozen batch of the run.

use std::collections::BTreeMap;
use std::time::Instant;

use lossmith_plugin::objective::{Batch, Objectives};
use lossmith_plugin::{Cause, Progress, ResultFault, State, is_finite};
use tch::{Kind, TchError, Tensor};

use super::refusal::Refusal;
use crate::objective::ObjectiveError;

/// The batch of a step, without gradient. Nobody writes to these tensors.
pub struct Sample {
    /// B x D.
    pub embeddings: Tensor,
    /// B.
    pub labels: Tensor,
    /// Number of training classes.
    pub class_count: i64,
    /// Number of equal slices.
    pub slice_count: i64,
    /// The backbone's last feature map.
    pub feature_map: Option<Tensor>,
    /// The teacher's embeddings.
    pub teacher: Option<Tensor>,
    /// The teacher's last feature map.
    pub teacher_feature_map: Option<Tensor>,
    /// Where the training was.
    pub progress: Progress,
}

impl Sample {
    /// Another handle of the same data.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let handle = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::shallow_clone);
        Self {
            embeddings: self.embeddings.shallow_clone(),
            labels: self.labels.shallow_clone(),
            feature_map: handle(&self.feature_map),
            teacher: handle(&self.teacher),
            teacher_feature_map: handle(&self.teacher_feature_map),
            progress: self.progress.clone(),
            ..*self
        }
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

/// What was computed of a sample.
struct Made {
    total: Tensor,
    embeddings: Tensor,
    feature_map: Option<Tensor>,
}

/// Computes a sample with copies of `states`. The objectives keep what came of these copies.
pub(super) fn measure(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<Measured, Refusal> {
    let begun = Instant::now();
    let made = match run(objectives, sample, states) {
        Ok(made) => made,
        Err(ObjectiveError::Plugin(error)) if matches!(*error.cause, Cause::Result(ResultFault::NotFinite(_))) => {
            let reason = format!("on a batch of the run: {error}");
            return Err(with_origin(reason, objectives, sample, states)?);
        }
        Err(error) => return Err(error.into()),
    };
    let Made { total, embeddings, feature_map } = made;
    let loss = total.f_double_value(&[])?;
    if !loss.is_finite() {
        return Err(with_origin(format!("on a batch of the run its loss is {loss}"), objectives, sample, states)?);
    }
    if let Err(error) = total.f_backward() {
        return Err(match objectives.culprit(&batch_of(sample, &embeddings, feature_map.as_ref()), &sample.progress) {
            Ok(Some(culprit)) => Refusal::from(ObjectiveError::from(culprit)),
            Ok(None) | Err(_) => error.into(),
        });
    }
    let gradient = gradient_of(&embeddings)?.f_to_device(tch::Device::Cpu)?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let mut of = (!is_finite(&gradient)?).then(|| "its gradient".to_owned());
    for (name, parameter, _) in objectives.parameters() {
        if of.is_none() && !is_finite(&gradient_of(&parameter)?)? {
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

fn run(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<Made, ObjectiveError> {
    objectives.put_states(copies(states)?);
    let leaf = |tensor: &Tensor| tensor.f_detach()?.f_requires_grad_(true);
    let embeddings = leaf(&sample.embeddings)?;
    let feature_map = sample.feature_map.as_ref().map(leaf).transpose()?;
    let batch = batch_of(sample, &embeddings, feature_map.as_ref());
    let total = objectives.compute(&batch, &sample.progress)?.total;
    Ok(Made { total, embeddings, feature_map })
}

/// The sample as the objectives see it, with leaves for what they differentiate.
fn batch_of<'a>(sample: &'a Sample, embeddings: &'a Tensor, feature_map: Option<&'a Tensor>) -> Batch<'a> {
    Batch {
        embeddings,
        labels: &sample.labels,
        class_count: sample.class_count,
        slice_count: sample.slice_count,
        feature_map,
        teacher: sample.teacher.as_ref(),
        teacher_feature_map: sample.teacher_feature_map.as_ref(),
        measured: false,
    }
}

/// In 64 bits, in one row; zeros when nothing arrives.
fn gradient_of(leaf: &Tensor) -> Result<Tensor, TchError> {
    let gradient = leaf.f_grad()?;
    let gradient = if gradient.defined() { gradient } else { leaf.f_zeros_like()? };
    gradient.f_detach()?.f_to_kind(Kind::Double)?.f_reshape([-1])
}

/// The reason with the operation that made something that is not finite first, if it can be told.
fn with_origin(
    reason: String,
    objectives: &mut Objectives,
    sample: &Sample,
    states: &States,
) -> Result<Refusal, TchError> {
    objectives.put_states(copies(states)?);
    let batch = batch_of(sample, &sample.embeddings, sample.feature_map.as_ref());
    let origin = objectives.origin(&batch, &sample.progress)?;
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
