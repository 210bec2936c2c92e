//! Several weight vectors for each class.

use lossmith_sdk::prelude::*;

/// The trainable parameter `name`, D x (C * `centers`): column `c * centers + k` is center k of class c. Error: it was
/// made for another number of centers.
pub(crate) fn parameter(
    name: &str,
    learning_rate_multiplier: f64,
    batch: &Batch,
    centers: i64,
    initial: impl FnOnce(&[i64]) -> Tensor,
) -> Result<Tensor> {
    let columns = batch.class_count() * centers;
    let kept = state::parameter(name, learning_rate_multiplier, || initial(&[batch.dimension(), columns]));
    let found = kept.size(1);
    if found != columns {
        let classes = batch.class_count();
        return Err(format!(
            "the parameter `{name}` has {found} columns; {centers} centers of {classes} classes need {columns}: \
             `centers` cannot change in a run"
        )
        .into());
    }
    Ok(kept)
}

/// Cosines between the embeddings and all centers: B x C x `centers`.
pub(crate) fn cosines(batch: &Batch, weights: &Tensor, centers: i64) -> Tensor {
    let all = batch.embeddings().cosine_matrix(&weights.transpose(0, 1));
    all.reshape(&[batch.size(), batch.class_count(), centers])
}
