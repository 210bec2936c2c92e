//! The losses as a user of `tch` would write them, operation for operation what the plugins order.

use tch::{Kind, Tensor};

/// Rows scaled to length 1.
pub(super) fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2.0, -1, true).clamp_min(1e-12)
}

/// Euclidean distances between rows, as the contract's `distance-matrix`.
pub(super) fn distance_matrix(x: &Tensor) -> Tensor {
    let squares = x.square().sum_dim_intlist(-1, true, None);
    let scale = &squares + squares.transpose(-2, -1);
    let squared = &scale - x.matmul(&x.transpose(-2, -1)) * 2.0;
    let masked = squared.detach().gt_tensor(&(scale.detach() * (4.0 * f64::from(f32::EPSILON)))).logical_not();
    squared.masked_fill(&masked, 1.0).sqrt().masked_fill(&masked, 0.0)
}

fn masks(labels: &Tensor) -> (Tensor, Tensor) {
    let (rows, columns) = (labels.unsqueeze(1), labels.unsqueeze(0));
    let positions = Tensor::arange(labels.size()[0], (Kind::Int64, labels.device()));
    let same = rows.eq_tensor(&columns).logical_and(&positions.unsqueeze(1).ne_tensor(&positions.unsqueeze(0)));
    (same, rows.ne_tensor(&columns))
}

/// Contrastive loss with margins 0 and 1, average over non-zero.
pub(super) fn contrastive(embeddings: &Tensor, labels: &Tensor) -> Tensor {
    let matrix = distance_matrix(&unit(embeddings));
    let (same, different) = masks(labels);
    let reduce = |losses: Tensor, weights: &Tensor| {
        let weights = weights.to_kind(Kind::Float);
        let count = (&weights * losses.gt(0.0)).sum(Kind::Float);
        (losses.relu() * weights).sum(Kind::Float) / count.clamp_min(1.0)
    };
    reduce((&matrix - 0.0).relu(), &same) + reduce((-&matrix + 1.0).relu(), &different)
}

/// Multi-similarity loss with alpha 2, beta 50, base 0.5.
pub(super) fn multi_similarity(embeddings: &Tensor, labels: &Tensor) -> Tensor {
    let unit = unit(embeddings);
    let excess = unit.matmul(&unit.transpose(0, 1)) - 0.5;
    let (same, different) = masks(labels);
    let half = |scaled: Tensor, pairs: &Tensor| {
        let sums = scaled.masked_fill(&pairs.to_kind(Kind::Float).gt(0.0).logical_not(), -1e30).logsumexp([1], false);
        -(-sums).log_sigmoid()
    };
    let pull = half(&excess * -2.0, &same);
    let push = half(&excess * 50.0, &different);
    (pull / 2.0 + push / 50.0).mean(Kind::Float)
}
