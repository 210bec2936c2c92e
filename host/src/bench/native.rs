//! Losses as a careful user of `tch` would write them, one operation of libtorch after the other: what a component is
//! compared with.
//!
//! Each is the standard loss of its name with the defaults of its parameters, over all that is in the batch, and has
//! the same formula in the same order: the same distances, hinges, softmaxes and sums. The float type is that of the
//! embeddings. It is not operation for operation what the standard plugin orders, for a plugin has parameters that a
//! loss with its defaults need not know. A plugin orders these besides, on B x B elements where nothing else is said:
//!
//! - all but `nca`: both masks as floats that say how often a pair counts, with a comparison of positions instead of a
//!   diagonal that is set to 0, a conjunction and three conversions; `nca`: the comparison and the conjunction;
//! - `triplet`, `multi-similarity`, `sup-con` and `nt-xent`: comparisons that make masks of these floats again;
//! - `sup-con`: a product with a mask and the sum of a mask, of which libtorch makes numbers first;
//! - `nt-xent`: the logarithms of how often a negative pair counts, added to the logits, which are three operations;
//! - `multi-similarity`: the losses times weights, and the sum of these, instead of a mean; `nca`: the losses times
//!   weights for a miner (B elements each).
//!
//! What the host keeps for a batch, or computes in another order than the plugin gave, is in the component's time as
//! the host does it.

use lossmith_torch_shim::{euclidean_distances, hinge_sums};
use tch::{Kind, TchError, Tensor};

type Result = std::result::Result<Tensor, TchError>;

/// The losses that there are.
pub const NAMES: [&str; 6] = ["contrastive", "triplet", "multi-similarity", "sup-con", "nt-xent", "nca"];

/// A loss of embeddings, B x D, and labels, B.
pub type Native = fn(&Tensor, &Tensor) -> Result;

/// Far below every logit, and finite.
const NOTHING: f64 = -1e30;

/// The loss of a name; none if it is not in [`NAMES`].
pub fn find(name: &str) -> Option<Native> {
    match name {
        "contrastive" => Some(contrastive),
        "triplet" => Some(triplet),
        "multi-similarity" => Some(multi_similarity),
        "sup-con" => Some(sup_con),
        "nt-xent" => Some(nt_xent),
        "nca" => Some(nca),
        _ => None,
    }
}

/// Rows of `x`, B x D, scaled to length 1.
///
/// # Errors
/// What libtorch cannot compute.
pub fn unit(x: &Tensor) -> Result {
    x.f_div(&x.f_norm_scalaropt_dim(2.0, -1, true)?.f_clamp_min(1e-12)?)
}

/// Euclidean distances between the rows of `x`, B x D, as the contract's `distance-matrix`: B x B.
///
/// # Errors
/// What libtorch cannot compute.
pub fn distance_matrix(x: &Tensor) -> Result {
    euclidean_distances(x, x)
}

/// Cosines between rows.
fn cosine_matrix(x: &Tensor) -> Result {
    let unit = unit(x)?;
    unit.f_matmul(&unit.f_transpose(0, 1)?)
}

/// Where classes differ, as floats of a kind, 1 or 0; those of 32 bits tell classes below 2^24 apart. On the CPU labels
/// that are compared as integers take three times as long, and ten times if floats are made of their mask.
fn different(labels: &Tensor, kind: Kind) -> Result {
    let labels = labels.f_to_kind(kind)?;
    let result = Tensor::f_empty([0], (kind, labels.device()))?;
    labels.f_unsqueeze(1)?.f_ne_tensor_out(&result, &labels.f_unsqueeze(0)?)
}

/// Pairs of one class without those of an image with itself, and pairs of different classes.
fn masks(labels: &Tensor, kind: Kind) -> std::result::Result<[Tensor; 2], TchError> {
    let different = different(labels, kind)?.f_to_kind(Kind::Bool)?;
    let same = different.f_logical_not()?;
    let _ = same.f_diagonal(0, 0, 1)?.f_fill_(0.0)?;
    Ok([same, different])
}

/// `log(sum(exp(x)))` of the elements of each row where `mask` is true: B x 1. By the softmax of the largest one, as
/// libtorch's `exp` is slow on the CPU where it gives 0.
fn logsumexp_where(x: &Tensor, mask: &Tensor) -> Result {
    let filled = x.f_masked_fill(&mask.f_logical_not()?, NOTHING)?;
    let (largest, place) = filled.f_max_dim(1, true)?;
    largest.f_sub(&filled.f_log_softmax(1, None)?.f_gather(1, &place, false)?)
}

/// `log(1 + exp(x))`.
fn log1p_exp(x: &Tensor) -> Result {
    x.f_neg()?.f_log_sigmoid()?.f_neg()
}

/// Mean of the losses where `mask` is true.
fn mean(losses: &Tensor, mask: &Tensor) -> Result {
    let weights = mask.f_to_kind(losses.f_kind()?)?;
    losses.f_mul(&weights)?.f_sum(None)?.f_div(&weights.f_sum(None)?.f_clamp_min(1.0)?)
}

/// Mean of the losses `[excess]_+` above 0, each as often as `weights` says.
fn average_non_zero(excess: &Tensor, weights: &Tensor) -> Result {
    let active = excess.f_detach()?.f_sign()?.f_relu()?.f_mul(weights)?;
    excess.f_mul(&active)?.f_sum(None)?.f_div(&active.f_sum(None)?.f_clamp_min(1.0)?)
}

/// Contrastive loss with margins 0 and 1, average over non-zero.
fn contrastive(embeddings: &Tensor, labels: &Tensor) -> Result {
    let matrix = distance_matrix(&unit(embeddings)?)?;
    let different = different(labels, matrix.f_kind()?)?;
    let same = different.f_rsub_scalar(1.0)?;
    let _ = same.f_diagonal(0, 0, 1)?.f_fill_(0.0)?;
    let mean = |weights: &Tensor, limit: f64, above: bool| {
        let (sums, active) = hinge_sums(&matrix, weights, limit, above)?;
        sums.f_sum(None)?.f_div(&active.f_sum(None)?.f_clamp_min(1.0)?)
    };
    mean(&same, 0.0, true)?.f_add(&mean(&different, 1.0, false)?)
}

/// Triplet loss with margin 0.05 over all triplets, average over non-zero.
///
/// The hinges above 0 are linear in the distances. One search of each negative among the sorted thresholds
/// `d_ap + margin` of its anchor says how often each distance is in their sum, so that memory is B x B.
fn triplet(embeddings: &Tensor, labels: &Tensor) -> Result {
    const MARGIN: f64 = 0.05;
    let matrix = distance_matrix(&unit(embeddings)?)?;
    let [same, different] = masks(labels, matrix.f_kind()?)?;
    let width = same.f_sum_dim_intlist(1_i64, false, None)?.f_max()?.f_int64_value(&[])?;
    if width == 0 {
        return matrix.f_mul_scalar(0.0)?.f_sum(None);
    }
    let distances = matrix.f_detach()?;
    let thresholds = distances.f_add_scalar(MARGIN)?.f_masked_fill(&same.f_logical_not()?, f64::NEG_INFINITY)?;
    let (thresholds, positives) = thresholds.f_topk(width, 1, true, true)?;
    let (thresholds, positives) = (thresholds.f_flip(1)?, positives.f_flip(1)?);
    // Thresholds that are not above a distance.
    let place = distances.f_searchsorted(&thresholds, false, true, "right", None::<&Tensor>)?;
    let (kind, device) = (distances.f_kind()?, distances.device());
    let different = different.f_to_kind(kind)?;
    let per_place = Tensor::f_zeros([labels.size1()?, width + 1], (kind, device))?;
    let of_positives = per_place.f_scatter_add(1, &place, &different)?.f_cumsum(1, None)?.f_narrow(1, 0, width)?;
    let of_negatives = place.f_rsub_scalar(width)?.f_mul(&different)?;
    let coefficients = of_negatives.f_neg()?.f_scatter_add(1, &positives, &of_positives)?;
    let active = of_positives.f_sum_dim_intlist(1_i64, false, None)?;
    let sums = matrix.f_mul(&coefficients)?.f_sum_dim_intlist(1_i64, false, None)?;
    let sums = sums.f_add(&active.f_mul_scalar(MARGIN)?)?;
    sums.f_sum(None)?.f_div(&active.f_sum(None)?.f_clamp_min(1.0)?)
}

/// Multi-similarity loss with alpha 2, beta 50, base 0.5.
fn multi_similarity(embeddings: &Tensor, labels: &Tensor) -> Result {
    let excess = cosine_matrix(embeddings)?.f_sub_scalar(0.5)?;
    let [same, different] = masks(labels, excess.f_kind()?)?;
    let half = |sharpness: f64, pairs: &Tensor| -> Result {
        log1p_exp(&logsumexp_where(&excess.f_mul_scalar(sharpness)?, pairs)?)?.f_div_scalar(sharpness.abs())
    };
    half(-2.0, &same)?.f_add(&half(50.0, &different)?)?.f_mean(None)
}

/// Supervised contrastive loss with temperature 0.1, average over non-zero.
fn sup_con(embeddings: &Tensor, labels: &Tensor) -> Result {
    let logits = cosine_matrix(embeddings)?.f_div_scalar(0.1)?;
    let [same, different] = masks(labels, logits.f_kind()?)?;
    let all = logsumexp_where(&logits, &same.f_logical_or(&different)?)?;
    let positives = same.f_to_kind(logits.f_kind()?)?;
    let counts = positives.f_sum_dim_intlist(1_i64, false, None)?.f_clamp_min(1.0)?;
    let sums = all.f_sub(&logits)?.f_mul(&positives)?.f_sum_dim_intlist(1_i64, false, None)?;
    // A batch without negatives costs nothing.
    let losses = sums.f_div(&counts)?.f_mul(&different.f_any()?)?;
    average_non_zero(&losses, &losses.f_ones_like()?)
}

/// NT-Xent with temperature 0.07, mean over positive pairs.
fn nt_xent(embeddings: &Tensor, labels: &Tensor) -> Result {
    let logits = cosine_matrix(embeddings)?.f_div_scalar(0.07)?;
    let [same, different] = masks(labels, logits.f_kind()?)?;
    let negatives = logsumexp_where(&logits, &different)?;
    mean(&log1p_exp(&negatives.f_sub(&logits)?)?, &same)
}

/// Neighbourhood component analysis with scale 1, mean over the images that are not alone in their class.
fn nca(embeddings: &Tensor, labels: &Tensor) -> Result {
    // Between unit vectors the squared distance is 2 - 2 cos, and the 2 is in both sums.
    let logits = cosine_matrix(embeddings)?.f_mul_scalar(2.0)?;
    let kind = logits.f_kind()?;
    let [same, _] = masks(labels, kind)?;
    let itself = Tensor::f_eye(labels.size1()?, (kind, logits.device()))?.f_mul_scalar(NOTHING)?;
    // Logits differ by at most 4, so that no share is 0.
    let shares = logits.f_add(&itself)?.f_softmax(1, None)?;
    let counts = same.f_any_dim(1, false)?;
    let shares = shares.f_mul(&same.f_to_kind(kind)?)?.f_sum_dim_intlist(1_i64, false, None)?;
    let losses = shares.f_masked_fill(&counts.f_logical_not()?, 1.0)?.f_log()?.f_neg()?;
    mean(&losses, &counts)
}
