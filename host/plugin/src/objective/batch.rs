//! The tensors of a batch as objectives see them, and the gradients that reach them.

use tch::{TchError, Tensor};

use crate::context::{Input, Tuples};

/// The tensors of a batch. Each is a handle: a clone shares the numbers.
#[derive(Debug)]
pub struct Batch {
    /// B x D, 32-bit. In a step of a training with gradient into the network.
    pub embeddings: Tensor,
    /// B, from 0 to `class_count` - 1.
    pub labels: Tensor,
    /// Number of training classes; below 0 if it is not known.
    pub class_count: i64,
    /// Number of equal slices.
    pub slice_count: i64,
    /// The backbone's last feature map, with gradient as the embeddings.
    pub feature_map: Option<Tensor>,
    /// The teacher's embeddings, B x D'.
    pub teacher: Option<Tensor>,
    /// The teacher's last feature map.
    pub teacher_feature_map: Option<Tensor>,
    /// The tuples for an objective without a miner; none: all of the batch.
    pub tuples: Option<Tuples>,
    /// The thresholds for an objective without a schedule; empty: none.
    pub thresholds: Vec<f64>,
    /// Whether the imbalance of transfers is measured in this step: it costs four more backward passes through the pair
    /// losses.
    pub measured: bool,
}

impl Batch {
    /// The same numbers without a way back into the network. Nothing is measured of them.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn detached(&self) -> Result<Self, TchError> {
        self.with_own(Tensor::f_detach)
    }

    /// The same numbers as leaves of a graph of their own: what has a gradient in a training has one here. Nothing is
    /// measured of them.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn leaves(&self) -> Result<Self, TchError> {
        self.with_own(leaf)
    }

    /// Another handle of the same numbers. Nothing is measured of them.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        self.with(self.embeddings.shallow_clone(), self.feature_map.as_ref().map(Tensor::shallow_clone))
    }

    /// The batch with one fused embedding in place of its slices.
    pub(super) fn fused(&self, embeddings: Tensor) -> Self {
        let feature_map = self.feature_map.as_ref().map(Tensor::shallow_clone);
        Self { slice_count: 1, measured: self.measured, ..self.with(embeddings, feature_map) }
    }

    /// What a strategy is told of it.
    #[must_use]
    pub fn input(&self) -> Input {
        let handle = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::shallow_clone);
        Input {
            embeddings: Some(self.embeddings.shallow_clone()),
            labels: Some(self.labels.shallow_clone()),
            class_count: self.class_count,
            slice_count: self.slice_count,
            feature_map: handle(&self.feature_map),
            teacher: handle(&self.teacher),
            teacher_feature_map: handle(&self.teacher_feature_map),
            tuples: self.tuples.as_ref().map(Tuples::shallow_clone),
            thresholds: self.thresholds.clone(),
        }
    }

    /// The batch with what `change` makes of what the network gave.
    fn with_own(&self, change: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        Ok(self.with(change(&self.embeddings)?, self.feature_map.as_ref().map(&change).transpose()?))
    }

    /// The batch with other tensors in place of what the network gave. Labels and the teacher have no gradient.
    fn with(&self, embeddings: Tensor, feature_map: Option<Tensor>) -> Self {
        Self {
            embeddings,
            labels: self.labels.shallow_clone(),
            class_count: self.class_count,
            slice_count: self.slice_count,
            feature_map,
            teacher: self.teacher.as_ref().map(Tensor::shallow_clone),
            teacher_feature_map: self.teacher_feature_map.as_ref().map(Tensor::shallow_clone),
            tuples: self.tuples.as_ref().map(Tuples::shallow_clone),
            thresholds: self.thresholds.clone(),
            measured: false,
        }
    }
}

/// A leaf of a graph of its own with the same values.
pub(super) fn leaf(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_detach()?.f_requires_grad_(true)
}

/// The gradient that backward passes have left at a tensor; zeros if none has reached it.
///
/// # Errors
/// What libtorch says.
pub fn gradient_of(tensor: &Tensor) -> Result<Tensor, TchError> {
    let gradient = tensor.f_grad()?;
    if gradient.defined() { gradient.f_detach() } else { tensor.f_detach()?.f_zeros_like() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use tch::Kind;

    #[test]
    fn leaves_keep_their_gradients_to_themselves() {
        let source = Tensor::f_from_slice(&[1.0, 2.0]).unwrap().set_requires_grad(true);
        let batch = Batch {
            embeddings: &source * 3.0,
            labels: Tensor::f_from_slice(&[0_i64, 1]).unwrap(),
            class_count: 2,
            slice_count: 1,
            feature_map: Some(&source * 1.0),
            teacher: None,
            teacher_feature_map: None,
            tuples: None,
            thresholds: Vec::new(),
            measured: true,
        };
        let detached = batch.detached().unwrap();
        assert!(!detached.embeddings.requires_grad() && !detached.measured);
        let leaves = batch.leaves().unwrap();
        leaves.embeddings.square().sum(Kind::Double).f_backward().unwrap();
        let numbers = |tensor: &Tensor| Vec::<f64>::try_from(gradient_of(tensor).unwrap()).unwrap();
        assert_eq!(numbers(&leaves.embeddings), [6.0, 12.0]);
        assert_eq!(numbers(leaves.feature_map.as_ref().unwrap()), [0.0, 0.0]);
        assert_eq!(numbers(&source), [0.0, 0.0]);
    }
}
