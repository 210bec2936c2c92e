//! Losses of the images of a batch, one each, and how they become one number.

use lossmith_sdk::prelude::*;

/// The cross entropy of each image, B, given its `logits` for the classes, B x C.
pub(crate) fn cross_entropies(logits: &Tensor, labels: &Tensor) -> Tensor {
    -logits.log_softmax(1).gather(1, &labels.unsqueeze(1)).squeeze(1)
}

/// B x C `cosines` with those to the image's own class exchanged for what `change` makes of them (B x 1).
pub(crate) fn with_own(cosines: &Tensor, labels: &Tensor, change: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let places = labels.unsqueeze(1);
    let own = cosines.gather(1, &places);
    cosines.scatter_add(1, &places, &(change(&own) - &own))
}

/// Reduces `losses`, B, each times the image's [`importance`](Batch::importance).
pub(crate) fn reduce(reducer: &Reducer, losses: &Tensor, batch: &Batch) -> Result<Tensor> {
    reducer.reduce(&(losses * batch.importance()), &losses.ones_like(), batch)
}

/// As [`reduce`], by how often the image is an [anchor](Batch::anchor_importance).
pub(crate) fn reduce_anchors(reducer: &Reducer, losses: &Tensor, batch: &Batch) -> Result<Tensor> {
    reducer.reduce(&(losses * batch.anchor_importance()), &losses.ones_like(), batch)
}
