//! A candidate on a frozen batch of the run.

use std::collections::BTreeMap;
use std::time::Instant;

use tch::{Kind, TchError, Tensor};

use super::refusal::Refusal;
use crate::objective::{Batch, ObjectiveError, Objectives};
use crate::plugin::{Progress, State};

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

/// Computes a sample with copies of `states`. The objectives keep what came of these copies.
pub(super) fn measure(objectives: &mut Objectives, sample: &Sample, states: &States) -> Result<Measured, Refusal> {
    objectives.put_states(super::gate::copies(states)?);
    let leaf = |tensor: &Tensor| tensor.f_detach()?.f_requires_grad_(true);
    let embeddings = leaf(&sample.embeddings)?;
    let feature_map = sample.feature_map.as_ref().map(leaf).transpose()?;
    let batch = Batch {
        embeddings: &embeddings,
        labels: &sample.labels,
        class_count: sample.class_count,
        slice_count: sample.slice_count,
        feature_map: feature_map.as_ref(),
        teacher: sample.teacher.as_ref(),
        teacher_feature_map: sample.teacher_feature_map.as_ref(),
        measured: false,
    };
    let begun = Instant::now();
    let total = objectives.compute(&batch, &sample.progress)?.total;
    if let Err(error) = total.f_backward() {
        return Err(match objectives.culprit(&batch, &sample.progress) {
            Ok(Some(culprit)) => Refusal::from(ObjectiveError::from(culprit)),
            Ok(None) | Err(_) => error.into(),
        });
    }
    let gradient = embeddings.f_grad()?;
    let gradient = if gradient.defined() { gradient } else { embeddings.f_zeros_like()? };
    let gradient = gradient.f_detach()?.f_to_kind(Kind::Double)?.f_to_device(tch::Device::Cpu)?.f_reshape([-1])?;
    let loss = total.f_double_value(&[])?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    if !loss.is_finite() {
        return Err(Refusal::new(format!("on a batch of the run its loss is {loss}")));
    }
    let finite = gradient.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0;
    if !finite {
        return Err(Refusal::new("on a batch of the run its gradient is not finite".into())
            .with_help("look for a square root or a logarithm at zero, or a division by zero"));
    }
    Ok(Measured { loss, gradient, milliseconds })
}

/// The cosine of two gradients; none if one of them is 0.
pub(super) fn cosine(a: &Tensor, b: &Tensor) -> Result<Option<f64>, TchError> {
    let norms = a.f_norm()?.f_double_value(&[])? * b.f_norm()?.f_double_value(&[])?;
    let product = a.f_dot(b)?.f_double_value(&[])?;
    Ok((norms > 0.0).then_some(product / norms))
}
