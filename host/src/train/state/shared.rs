//! What the ranks of a training share in a step.

use lossmith_plugin::objective::Batch;
use tch::{TchError, Tensor};

use crate::model::NetworkParameter;
use crate::ranks::{Ranks, RanksError};
use crate::train::gradient_cache::carry_back;

/// A batch of which the ranks have a part each: every rank has the whole, and computes its objectives.
pub(super) struct SharedBatch {
    /// All rows, in the order of one process.
    pub(super) whole: Batch,
    /// Own rows without a way into the network: objectives leave their gradient here.
    leaves: (Tensor, Option<Tensor>),
}

impl SharedBatch {
    /// From own rows, of a batch of `count`.
    pub(super) fn gather(ranks: &Ranks, own: &Batch, count: usize) -> Result<Self, RanksError> {
        let leaf = |tensor: &Tensor| tensor.f_detach()?.f_requires_grad_(true);
        let rows = |tensor: &Option<Tensor>| tensor.as_ref().map(|tensor| ranks.whole(tensor, count)).transpose();
        let leaves = (leaf(&own.embeddings)?, own.feature_map.as_ref().map(leaf).transpose()?);
        let whole = Batch {
            embeddings: ranks.whole(&leaves.0, count)?,
            labels: ranks.whole(&own.labels, count)?,
            feature_map: rows(&leaves.1)?,
            teacher: rows(&own.teacher)?,
            teacher_feature_map: rows(&own.teacher_feature_map)?,
            // It is measured once.
            measured: own.measured && ranks.is_first(),
            ..own.shallow_clone()
        };
        Ok(Self { whole, leaves })
    }

    /// Own rows where objectives leave their gradient.
    pub(super) fn leaves(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.leaves.0, self.leaves.1.as_ref())
    }

    /// Carries the gradient of own rows into the network that made them.
    pub(super) fn carry_back(&self, own: &Batch) -> Result<(), TchError> {
        carry_back((&own.embeddings, own.feature_map.as_ref()), self.leaves())
    }
}

/// Adds up the gradients of a network over the ranks, each of which has those of its own rows. One tensor of all, in
/// the order of the parameters: so the bits of the sum are the same in every run.
pub(super) fn add_gradients(ranks: &Ranks, parameters: &[NetworkParameter]) -> Result<(), RanksError> {
    let gradients =
        parameters.iter().map(|parameter| Ok((parameter.tensor.f_grad()?, parameter.tensor.numel() as i64)));
    let gradients = gradients.collect::<Result<Vec<_>, TchError>>()?;
    // What none of the objectives reaches has none on any rank.
    let reached: Vec<_> = gradients.iter().filter(|(gradient, _)| gradient.defined()).collect();
    if reached.is_empty() {
        return Ok(());
    }
    let flat = reached.iter().map(|(gradient, count)| gradient.f_reshape([*count])).collect::<Result<Vec<_>, _>>();
    let all = flat.and_then(|flat| Tensor::f_cat(&flat, 0))?;
    ranks.sum(&all)?;
    let mut first = 0;
    for (gradient, count) in reached {
        let sum = all.f_narrow(0, first, *count).and_then(|sum| sum.f_view_as(gradient))?;
        gradient.shallow_clone().f_copy_(&sum)?;
        first += count;
    }
    Ok(())
}
