//! Losses as a user of `tch` would write them, operation for operation what the plugins order: what the sandbox is compared with.

use tch::{Kind, TchError, Tensor};

type Result = std::result::Result<Tensor, TchError>;

/// The losses that there are.
pub const NAMES: [&str; 2] = ["contrastive", "multi-similarity"];

/// A loss of embeddings and labels.
pub(super) type Native = fn(&Tensor, &Tensor) -> Result;

/// The loss of a name.
pub(super) fn find(name: &str) -> Option<Native> {
    match name {
        "contrastive" => Some(contrastive),
        "multi-similarity" => Some(multi_similarity),
        _ => None,
    }
}

/// Rows scaled to length 1.
fn unit(x: &Tensor) -> Result {
    x.f_div(&x.f_norm_scalaropt_dim(2.0, -1, true)?.f_clamp_min(1e-12)?)
}

/// Euclidean distances between rows, as the contract's `distance-matrix`.
fn distance_matrix(x: &Tensor) -> Result {
    let squares = x.f_square()?.f_sum_dim_intlist(-1_i64, true, None)?;
    let scale = squares.f_add(&squares.f_transpose(0, 1)?)?;
    let squared = scale.f_sub(&x.f_matmul(&x.f_transpose(0, 1)?)?.f_mul_scalar(2.0)?)?;
    let rounding = scale.f_detach()?.f_mul_scalar(4.0 * f64::from(f32::EPSILON))?;
    let keep = squared.f_detach()?.f_gt_tensor(&rounding)?;
    let _ = keep.f_diagonal(0, 0, 1)?.f_fill_(0.0)?;
    let masked = keep.f_logical_not()?;
    squared.f_masked_fill(&masked, 1.0)?.f_sqrt()?.f_masked_fill(&masked, 0.0)
}

/// Pairs of one class without those of an image with itself, and pairs of different classes.
fn masks(labels: &Tensor) -> std::result::Result<[Tensor; 2], TchError> {
    let (rows, columns) = (labels.f_unsqueeze(1)?, labels.f_unsqueeze(0)?);
    let same = rows.f_eq_tensor(&columns)?;
    let _ = same.f_diagonal(0, 0, 1)?.f_fill_(0.0)?;
    Ok([same, rows.f_ne_tensor(&columns)?])
}

/// Contrastive loss with margins 0 and 1, average over non-zero.
fn contrastive(embeddings: &Tensor, labels: &Tensor) -> Result {
    let matrix = distance_matrix(&unit(embeddings)?)?;
    let [same, different] = masks(labels)?;
    let reduce = |losses: Tensor, pairs: &Tensor| -> Result {
        let weights = pairs.f_to_kind(Kind::Float)?;
        let count = losses.f_gt(0.0)?.f_mul(&weights)?.f_sum(Kind::Float)?;
        losses.f_mul(&weights)?.f_sum(Kind::Float)?.f_div(&count.f_clamp_min(1.0)?)
    };
    let pull = reduce(matrix.f_relu()?, &same)?;
    pull.f_add(&reduce(matrix.f_rsub_scalar(1.0)?.f_relu()?, &different)?)
}

/// Multi-similarity loss with alpha 2, beta 50, base 0.5.
fn multi_similarity(embeddings: &Tensor, labels: &Tensor) -> Result {
    let unit = unit(embeddings)?;
    let excess = unit.f_matmul(&unit.f_transpose(0, 1)?)?.f_sub_scalar(0.5)?;
    let [same, different] = masks(labels)?;
    let half = |sharpness: f64, pairs: &Tensor| -> Result {
        let scaled = excess.f_mul_scalar(sharpness)?.f_masked_fill(&pairs.f_logical_not()?, -1e30)?;
        scaled.f_logsumexp(1, false)?.f_neg()?.f_log_sigmoid()?.f_div_scalar(-sharpness.abs())
    };
    half(-2.0, &same)?.f_add(&half(50.0, &different)?)?.f_mean(Kind::Float)
}
