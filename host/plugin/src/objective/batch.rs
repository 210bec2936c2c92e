//! A batch as objectives see it.

use tch::Tensor;

/// What the objectives see of a batch.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// B x D, 32-bit, with gradient into the network.
    pub embeddings: &'a Tensor,
    /// B, from 0 to `class_count` - 1.
    pub labels: &'a Tensor,
    /// Number of training classes.
    pub class_count: i64,
    /// Number of equal slices.
    pub slice_count: i64,
    /// The backbone's last feature map.
    pub feature_map: Option<&'a Tensor>,
    /// The teacher's embeddings, B x D'.
    pub teacher: Option<&'a Tensor>,
    /// The teacher's last feature map.
    pub teacher_feature_map: Option<&'a Tensor>,
    /// Whether the imbalance of transfers is measured in this step: it costs four more backward passes through the pair
    /// losses.
    pub measured: bool,
}
