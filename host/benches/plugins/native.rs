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
    let keep = squared.detach().gt_tensor(&(scale.detach() * (4.0 * f64::from(f32::EPSILON))));
    let _ = keep.diagonal(0, -2, -1).fill_(0.0);
    let masked = keep.logical_not();
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

/// Pair losses and divisor of the relaxed contrastive loss with sigma 1 and delta 1.
pub(super) fn relaxed_contrastive(student: &Tensor, teacher: &Tensor) -> (Tensor, f64) {
    let size = student.size()[0];
    let unit = unit(teacher);
    let relations = ((unit.matmul(&unit.transpose(0, 1)) - 1.0).clamp_max(0.0) * 2.0).exp();
    let distances = distance_matrix(student);
    let means = distances.mean_dim(1, true, None).clamp_min(1e-12);
    let relative = distances / means;
    let pairs = Tensor::eye(size, (Kind::Float, student.device())).rsub_scalar(1.0);
    let attract = relations * &pairs;
    let repel = pairs - &attract;
    let pull = relative.square() * attract;
    let push = relative.rsub_scalar(1.0).relu().square() * repel;
    (pull + push, size as f64)
}

/// Pair losses and divisor of RKD's distances.
pub(super) fn rkd_distance(student: &Tensor, teacher: &Tensor) -> (Tensor, f64) {
    let relative = |x: &Tensor| {
        let distances = distance_matrix(x);
        let count = distances.gt(0.0).sum(Kind::Int64).to_kind(Kind::Float).clamp_min(1.0);
        let mean = (distances.sum(Kind::Float) / count).clamp_min(1e-12);
        distances / mean
    };
    let teacher = relative(&unit(teacher));
    let values = relative(student).smooth_l1_loss(&teacher, tch::Reduction::None, 1.0);
    let size = student.size()[0] as f64;
    (values, size * size)
}

/// The balance `sum` by labels.
pub(super) fn weighted_sum(values: &Tensor, labels: &Tensor, alpha: f64, divisor: f64) -> Tensor {
    let (rows, columns) = (labels.unsqueeze(1), labels.unsqueeze(0));
    let itself = Tensor::eye(labels.size()[0], (Kind::Bool, labels.device()));
    let same = rows.eq_tensor(&columns).logical_xor(&itself);
    let weights = same.to_kind(Kind::Float) * (alpha - 1.0) + 1.0;
    (values * weights).sum(Kind::Float) / divisor
}
