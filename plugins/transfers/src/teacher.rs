//! The teacher, or why there is nothing to learn from.

use lossmith_sdk::prelude::*;

/// The teacher's embeddings, B x D', without gradient.
pub(crate) fn teacher(batch: &Batch) -> Result<Tensor> {
    batch.teacher().ok_or_else(|| {
        "there is no teacher to learn from: add a table `[teacher]` to the experiment, with \
        `run`, `weights` or `module`"
            .into()
    })
}
