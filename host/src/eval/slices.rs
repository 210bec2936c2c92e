//! Slices of an embedding: the retrieval of each by itself, and their correlation.
//!
//! An embedding of D dimensions is cut into K slices of D/K dimensions each, in order. They help each other only as far
//! as they differ: [`Slices::correlation`] compares their numbers, [`Slices::disagreement`] what they find.

use std::collections::BTreeMap;

use serde::Serialize;
use tch::{Kind, TchError, Tensor};

use super::points::{Points, blocks};
use super::retrieval::{ranking_keys, retrieval, retrieval_in_gallery};
use super::{Distance, EvalError, EvaluationConfig, Roles, Scores};

/// A dimension whose standard deviation is smaller, in units of its root mean square, has no variance: it is far above
/// the rounding errors of double precision and far below what single precision can tell apart.
const CONSTANT: f64 = 1e-12;

/// The slices of an embedding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Slices {
    /// What a search with one slice finds, over all queries; in the order of the slices.
    pub scores: Vec<Scores>,
    /// The mean of the absolute Pearson correlation over the images of two dimensions, over all pairs of dimensions of
    /// different slices, 0 to 1. A dimension that is the same for all images is correlated with none. 0 for a single
    /// slice.
    pub correlation: f64,
    /// The share of the images whose nearest other image differs between two slices, 0 to 1; the mean over all pairs of
    /// slices. 0 for a single slice.
    pub disagreement: f64,
}

impl Slices {
    /// The numbers by name: P@1, R-precision and MAP@R of each slice (`slice.0.map-at-r`, ...), and of two slices or
    /// more `slice-correlation` and `slice-disagreement`.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, f64> {
        let slices = self.scores.iter().enumerate();
        let named = slices.flat_map(|(at, scores)| scores.values(&format!("slice.{at}.")));
        let mut values: BTreeMap<String, f64> = named.filter(|(name, _)| !name.contains("recall")).collect();
        if self.scores.len() > 1 {
            values.insert("slice-correlation".to_owned(), self.correlation);
            values.insert("slice-disagreement".to_owned(), self.disagreement);
        }
        values
    }
}

/// Measures the `count` slices of `embeddings` (N x D, any float type, finite) with `labels` (N, int64), each as
/// [`retrieval`](fn@super::retrieval), or [`retrieval_in_gallery`] if there are roles, measures an embedding: with
/// cosines, a slice is scaled to length 1 by itself. Needs no more memory than that.
///
/// # Errors
/// As [`retrieval`](fn@super::retrieval), or D is not a multiple of `count`.
pub fn slices(
    embeddings: &Tensor,
    labels: &Tensor,
    roles: Option<Roles<'_>>,
    count: usize,
    config: &EvaluationConfig,
) -> Result<Slices, EvalError> {
    let whole = Points::new(embeddings, Distance::Euclidean)?.rows;
    let dimensions = whole.size().get(1).copied().unwrap_or(0);
    let width = i64::try_from(count).ok().and_then(|count| dimensions.checked_div(count)).unwrap_or(0);
    if width < 1 || width * count as i64 != dimensions {
        return Err(EvalError::Slices { dimensions, slices: count });
    }
    let block = i64::try_from(config.block.get()).unwrap_or(i64::MAX);
    let (mut scores, mut standard, mut nearest) = (Vec::new(), Vec::new(), Vec::new());
    for (start, width) in blocks(dimensions, width) {
        let slice = whole.f_narrow(1, start, width)?;
        let found = match roles {
            Some(roles) => retrieval_in_gallery(&slice, labels, roles, config)?,
            None => retrieval(&slice, labels, config)?,
        };
        scores.push(found.overall);
        let points = Points::new(&slice, config.distance)?;
        standard.push(standardised(&points.rows)?);
        nearest.push(nearest_others(&points, block)?);
    }
    let correlation = mean_of_pairs(&standard, |one, other| {
        one.f_tr()?.f_matmul(other)?.f_abs()?.f_clamp_max(1.0)?.f_mean(Kind::Double)?.f_double_value(&[])
    })?;
    let disagreement = mean_of_pairs(&nearest, |one, other| {
        one.f_ne_tensor(other)?.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?.f_double_value(&[])
    })?;
    Ok(Slices { scores, correlation, disagreement })
}

/// Columns (N x D, double) with their means taken off and scaled to length 1, so that a product of two is their
/// correlation; zeros for a column without variance.
fn standardised(rows: &Tensor) -> Result<Tensor, TchError> {
    let lengths = |rows: &Tensor| rows.f_square()?.f_sum_dim_intlist(0, true, Kind::Double)?.f_sqrt();
    let centred = rows.f_sub(&rows.f_mean_dim([0].as_slice(), true, Kind::Double)?)?;
    let spread = lengths(&centred)?;
    let constant = spread.f_le_tensor(&lengths(rows)?.f_mul_scalar(CONSTANT)?)?;
    centred.f_div(&spread)?.f_masked_fill(&constant, 0.0)
}

/// The nearest other point of each (N, int64), the first in the order in which [`retrieval`] ranks them.
fn nearest_others(points: &Points, block: i64) -> Result<Tensor, TchError> {
    let positions = Tensor::f_arange(points.len(), (Kind::Int64, points.device()))?;
    let nearest = |(start, count)| {
        let keys = ranking_keys(points, start, count, points, &positions)?;
        let _ = keys.f_diagonal(start, 0, 1)?.f_fill_(i64::MAX)?;
        keys.f_min_dim(1, false)?.0.f_bitwise_and(i64::from(u32::MAX))
    };
    let found: Vec<Tensor> = blocks(points.len(), block).map(nearest).collect::<Result<_, TchError>>()?;
    Tensor::f_cat(&found, 0)
}

/// The mean of `value` over all pairs; 0 if there is none.
fn mean_of_pairs(all: &[Tensor], value: impl Fn(&Tensor, &Tensor) -> Result<f64, TchError>) -> Result<f64, TchError> {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (at, one) in all.iter().enumerate() {
        for other in all.iter().skip(at + 1) {
            sum += value(one, other)?;
            pairs += 1.0;
        }
    }
    Ok(if pairs > 0.0 { sum / pairs } else { 0.0 })
}

#[cfg(test)]
mod tests;
