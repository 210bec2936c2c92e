//! Pairs of a batch as matrices.

use crate::{Batch, Tensor, Tuples};

/// B x B mask of the pairs of one class, without the diagonal.
pub fn same_class(labels: &Tensor) -> Tensor {
    others_of_one_class(&different_class(labels))
}

/// B x B mask of the pairs of two classes.
pub fn different_class(labels: &Tensor) -> Tensor {
    where_different(labels, labels)
}

/// The pairs that are not `different`, without the diagonal.
fn others_of_one_class(different: &Tensor) -> Tensor {
    let positions = Tensor::arange(0, different.size(0));
    different.logical_not().logical_and(&where_different(&positions, &positions))
}

/// Where the integers `a` (N) and `b` (M) differ, N x M. As floats, which the host compares faster than integers; those
/// of 32 bits tell numbers below 2^24 apart.
fn where_different(a: &Tensor, b: &Tensor) -> Tensor {
    a.to_float().unsqueeze(1).ne(&b.to_float().unsqueeze(0))
}

/// How often each ordered pair of images counts: two float matrices, B x B, anchors in rows.
#[derive(Debug)]
pub struct PairWeights {
    /// Pairs of one class.
    pub positive: Tensor,
    /// Pairs of two classes.
    pub negative: Tensor,
}

impl PairWeights {
    /// The pairs that the objective's miner found, each as often as it found it; without a miner all pairs, once.
    ///
    /// A triplet counts as a positive pair and a negative pair.
    pub fn of(batch: &Batch) -> Self {
        match batch.tuples() {
            Some(tuples) => Self::mined(&tuples, batch.size()),
            None => Self::all(&batch.labels()),
        }
    }

    /// All pairs of images with these classes, once.
    pub fn all(labels: &Tensor) -> Self {
        let different = different_class(labels);
        Self { positive: others_of_one_class(&different).to_float(), negative: different.to_float() }
    }

    /// The pairs of `tuples` in a batch of `size` images.
    pub fn mined(tuples: &Tuples, size: i64) -> Self {
        let row_length = Tensor::from_integers(&[size], &[1]);
        let count = |rows: &Tensor, columns: &Tensor| {
            let cells = rows * &row_length + columns;
            cells.bincount(size * size).to_float().reshape(&[size, size])
        };
        Self {
            positive: count(&tuples.anchors(), &tuples.positives()),
            negative: count(&tuples.negative_anchors(), &tuples.negatives()),
        }
    }
}

/// What a loss on pairs compares: anchors in rows, references in columns.
#[derive(Debug)]
pub struct Pairs {
    /// The embeddings of the batch, B x D.
    pub anchors: Tensor,
    /// The embeddings of a memory, R x D, without gradient; none where the batch is compared with itself.
    memory: Option<Tensor>,
    /// How often each pair of one class counts, B x R, float.
    pub positive: Tensor,
    /// How often each pair of two classes counts, B x R, float.
    pub negative: Tensor,
}

impl Pairs {
    /// The pairs of the batch, see [`PairWeights::of`].
    pub fn of(batch: &Batch) -> Self {
        let PairWeights { positive, negative } = PairWeights::of(batch);
        Self { anchors: batch.embeddings(), memory: None, positive, negative }
    }

    /// Whether these are the pairs of the batch with a memory.
    pub fn are_with_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// What the anchors are compared with, R x D: the batch itself, or the embeddings of a memory (without gradient).
    pub fn references(&self) -> &Tensor {
        self.memory.as_ref().unwrap_or(&self.anchors)
    }

    /// All pairs of the batch with a memory of R embeddings; a place with a label below 0 is empty.
    pub(crate) fn with_memory(batch: &Batch, embeddings: Tensor, labels: &Tensor) -> Self {
        let different = where_different(&batch.labels(), labels);
        Self {
            anchors: batch.embeddings(),
            memory: Some(embeddings),
            positive: different.logical_not().to_float(),
            negative: different.logical_and(&labels.ge(0.0)).to_float(),
        }
    }
}
