//! Inputs of a call: a batch, the progress of the training, tuples, pair losses.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_torch_shim::meta;
use tch::{Device, Kind, TchError, Tensor};

/// The inputs of a strategy: a batch, and what other strategies made of it.
#[derive(Debug, Default)]
pub struct Input {
    /// B x D, in the run's float dtype.
    pub embeddings: Option<Tensor>,
    /// B, 64-bit integers from 0 to `class_count` - 1.
    pub labels: Option<Tensor>,
    /// Number of training classes; below 0 if it is not known, which is a fault of the call that asks for it.
    pub class_count: i64,
    /// Number of equal slices of the embedding.
    pub slice_count: i64,
    /// The schedule's thresholds; empty without a schedule.
    pub thresholds: Vec<f64>,
    /// The teacher's embeddings, B x D'.
    pub teacher: Option<Tensor>,
    /// The backbone's last feature map, B x C x H x W.
    pub feature_map: Option<Tensor>,
    /// The teacher's last feature map, B x C' x H' x W'.
    pub teacher_feature_map: Option<Tensor>,
    /// The tuples that the miner found.
    pub tuples: Option<Tuples>,
}

impl Input {
    /// Another handle of the same data.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self {
            embeddings: self.embeddings.as_ref().map(Tensor::shallow_clone),
            labels: self.labels.as_ref().map(Tensor::shallow_clone),
            class_count: self.class_count,
            slice_count: self.slice_count,
            thresholds: self.thresholds.clone(),
            teacher: self.teacher.as_ref().map(Tensor::shallow_clone),
            feature_map: self.feature_map.as_ref().map(Tensor::shallow_clone),
            teacher_feature_map: self.teacher_feature_map.as_ref().map(Tensor::shallow_clone),
            tuples: self.tuples.as_ref().map(Tuples::shallow_clone),
        }
    }
}

impl Input {
    /// The same without values.
    ///
    /// # Errors
    /// What libtorch says.
    pub(super) fn on_meta(&self) -> Result<Self, TchError> {
        let of = |tensor: &Option<Tensor>| tensor.as_ref().map(meta).transpose();
        Ok(Self {
            embeddings: of(&self.embeddings)?,
            labels: of(&self.labels)?,
            class_count: self.class_count,
            slice_count: self.slice_count,
            thresholds: self.thresholds.clone(),
            teacher: of(&self.teacher)?,
            feature_map: of(&self.feature_map)?,
            teacher_feature_map: of(&self.teacher_feature_map)?,
            tuples: self.tuples.as_ref().map(Tuples::shallow_clone),
        })
    }
}

/// Images of the class that has most of them. Waits for the device of the labels.
pub(super) fn largest_class(labels: &Tensor) -> Result<i64, TchError> {
    let mut labels = Vec::<i64>::try_from(&labels.f_to_device(Device::Cpu)?)?;
    labels.sort_unstable();
    Ok(labels.chunk_by(i64::eq).map(|class| class.len() as i64).max().unwrap_or_default())
}

/// The progress of the training.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// From 0.
    pub epoch: u64,
    /// Epochs of the run; 0 if it is not known, which is a fault of the call that asks for it.
    pub epochs: u64,
    /// Step of the run, from 0.
    pub step: u64,
    /// Steps in an epoch.
    pub steps_per_epoch: u64,
    /// Last values of the run's metrics.
    pub metrics: Arc<BTreeMap<String, f64>>,
    /// What the metrics of the strategy's objective begin with, `objective.0`; empty where there is none.
    pub place: String,
}

impl Progress {
    /// Whether an epoch ends with this step.
    pub(super) fn is_last_step_of_epoch(&self) -> bool {
        (self.step + 1).is_multiple_of(self.steps_per_epoch.max(1))
    }

    /// The last value of a metric of this run, by its name or by that without the place of the objective.
    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        let Self { metrics, place, .. } = self;
        metrics.get(name).or_else(|| metrics.get(&format!("{place}.{name}"))).copied()
    }
}

/// Tuples of positions in a batch: vectors of 64-bit integers.
#[derive(Debug)]
pub enum Tuples {
    /// Anchors, positives, negatives, of one length.
    Triplets([Tensor; 3]),
    /// Anchors and positives of one length; negative anchors and negatives of another.
    Pairs([Tensor; 4]),
}

impl Tuples {
    /// Another handle of the same data.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        match self {
            Self::Triplets(parts) => Self::Triplets(parts.each_ref().map(Tensor::shallow_clone)),
            Self::Pairs(parts) => Self::Pairs(parts.each_ref().map(Tensor::shallow_clone)),
        }
    }

    /// The index vectors in the order of the contract.
    pub fn parts(&self) -> &[Tensor] {
        match self {
            Self::Triplets(parts) => parts,
            Self::Pairs(parts) => parts,
        }
    }
}

/// Pair losses of a transfer.
#[derive(Debug)]
pub struct PairLosses {
    /// B x B.
    pub values: Tensor,
    /// The divisor of their sum.
    pub divisor: f64,
    /// B x B matrices that `values` was made of, by name.
    pub parts: BTreeMap<String, Tensor>,
    /// Whether a plugin was given one of the parts.
    pub(super) parts_given: bool,
}

impl PairLosses {
    /// Pair losses without parts.
    #[must_use]
    pub fn new(values: Tensor, divisor: f64) -> Self {
        Self { values, divisor, parts: BTreeMap::new(), parts_given: false }
    }

    /// Another handle of the same data.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let parts = self.parts.iter().map(|(name, part)| (name.clone(), part.shallow_clone())).collect();
        Self { values: self.values.shallow_clone(), divisor: self.divisor, parts, parts_given: false }
    }

    /// The same without values.
    ///
    /// # Errors
    /// What libtorch says.
    pub(super) fn on_meta(&self) -> Result<Self, TchError> {
        let parts = self.parts.iter().map(|(name, part)| Ok((name.clone(), meta(part)?)));
        let parts = parts.collect::<Result<_, TchError>>()?;
        Ok(Self { values: meta(&self.values)?, divisor: self.divisor, parts, parts_given: false })
    }

    /// The unbalanced loss: the sum over the divisor.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn total(&self) -> Result<Tensor, TchError> {
        self.values.f_sum(None::<Kind>)?.f_div_scalar(self.divisor)
    }
}
