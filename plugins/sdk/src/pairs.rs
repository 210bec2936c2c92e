//! Pairs of a batch as matrices.

use crate::{Batch, Tensor, Tuples, off_diagonal};

/// B x B mask of the pairs of one class, without the diagonal.
pub fn same_class(labels: &Tensor) -> Tensor {
    let positions = Tensor::arange(0, labels.size(0));
    let equal = labels.unsqueeze(1).eq(&labels.unsqueeze(0));
    equal.logical_and(&positions.unsqueeze(1).ne(&positions.unsqueeze(0)))
}

/// B x B mask of the pairs of two classes.
pub fn different_class(labels: &Tensor) -> Tensor {
    labels.unsqueeze(1).ne(&labels.unsqueeze(0))
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
        let labels = labels.to_float();
        let negative = difference(&labels, &labels);
        Self { positive: off_diagonal(labels.size(0)) - &negative, negative }
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
        let different = difference(&batch.labels().to_float(), &labels.to_float());
        let filled = labels.ge(0.0).to_float();
        Self {
            anchors: batch.embeddings(),
            memory: Some(embeddings),
            positive: 1.0 - &different,
            negative: different * filled,
        }
    }
}

/// 1 where the labels `a` (N, floats) and `b` (M) differ, else 0: N x M. On the CPU a mask that becomes floats takes three times as
/// long. Floats of 32 bits tell labels below 2^24 apart.
fn difference(a: &Tensor, b: &Tensor) -> Tensor {
    (a.unsqueeze(1) - b.unsqueeze(0)).abs().at_most(1.0)
}
