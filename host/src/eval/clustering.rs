//! k-means, and how well its clusters agree with the classes.

use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng;
use tch::{Kind, TchError, Tensor};

use super::points::{Points, blocks};
use super::{Distance, EvalError};
use crate::random::{self, Purpose};

/// Rounds of Lloyd's algorithm, if it does not come to rest before.
const ROUNDS: usize = 100;

/// Points whose distances to all centres are held at once.
const BLOCK: i64 = 4096;

/// Puts the rows of `embeddings` (N x D, any float type, finite) into `clusters` clusters and returns the cluster of each.
///
/// Centres start by k-means++ (Arthur and Vassilvitskii, 2007) from `seed` and move by Lloyd's algorithm until no point
/// changes its cluster, for 100 rounds at most. For [`Distance::Cosine`] the rows are scaled to length 1 first. A cluster
/// that loses all its points keeps its centre.
///
/// # Errors
/// Embeddings that are not a matrix or not finite, more clusters than points.
pub fn k_means(embeddings: &Tensor, clusters: usize, distance: Distance, seed: u64) -> Result<Vec<i64>, EvalError> {
    let points = Points::new(embeddings, distance)?;
    if clusters == 0 || i64::try_from(clusters).unwrap_or(i64::MAX) > points.len() {
        return Err(EvalError::Clusters { points: points.len(), clusters });
    }
    let mut centres = Points::from_rows(first_centres(&points, clusters, seed)?)?;
    let (mut nearest, mut means) = assign(&points, &centres)?;
    for _ in 0..ROUNDS {
        centres = Points::from_rows(means)?;
        let (next, next_means) = assign(&points, &centres)?;
        let at_rest = next.f_equal(&nearest)?;
        (nearest, means) = (next, next_means);
        if at_rest {
            break;
        }
    }
    Ok(Vec::try_from(nearest)?)
}

/// k-means++: the first centre is any point, each further one a point with a probability that is proportional to its squared
/// distance from the nearest centre so far.
fn first_centres(points: &Points, clusters: usize, seed: u64) -> Result<Tensor, TchError> {
    let mut generator = random::generator(seed, Purpose::Clustering, 0, 0);
    // 53 random bits: a number in [0, 1).
    let mut draw = || (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut weights = vec![1.0; points.len() as usize];
    let mut nearest: Option<Tensor> = None;
    let mut rows = Vec::new();
    while rows.len() < clusters {
        let chosen = Points::from_rows(points.block(weighted(&weights, draw()), 1)?)?;
        let distances = points.squared_distances(0, points.len(), &chosen)?.f_view([-1])?;
        let least = match nearest {
            Some(before) => before.f_minimum(&distances)?,
            None => distances,
        };
        weights = Vec::try_from(&least)?;
        nearest = Some(least);
        rows.push(chosen.rows);
    }
    Tensor::f_cat(&rows, 0)
}

/// The position whose share of the sum of `weights` contains `at` (0 to 1). If all weights are 0, any position will do.
fn weighted(weights: &[f64], at: f64) -> i64 {
    let total: f64 = weights.iter().sum();
    let mut left = at * total;
    let position = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    position.unwrap_or((at * weights.len() as f64) as usize) as i64
}

/// The nearest centre of each point (N, int64), and the means of the points of each centre (K x D).
fn assign(points: &Points, centres: &Points) -> Result<(Tensor, Tensor), TchError> {
    let like = (Kind::Double, points.device());
    let mut sums = centres.rows.f_zeros_like()?;
    let mut counts = Tensor::f_zeros([centres.len(), 1], like)?;
    let mut nearest = Vec::new();
    for (start, count) in blocks(points.len(), BLOCK) {
        let (_, block) = points.squared_distances(start, count, centres)?.f_min_dim(1, true)?;
        // Sums by a product with a 0-1 matrix: adding by index would add in a random order on a GPU.
        let mut members = Tensor::f_zeros([count, centres.len()], like)?;
        let _ = members.f_scatter_value_(1, &block, 1.0)?;
        let members = members.f_tr()?;
        let _ = sums.f_add_(&members.f_matmul(&points.block(start, count)?)?)?;
        let _ = counts.f_add_(&members.f_sum_dim_intlist(1, true, Kind::Double)?)?;
        nearest.push(block.f_view([-1])?);
    }
    let empty = counts.f_eq(0)?;
    let means = centres.rows.f_where_self(&empty, &sums.f_div(&counts)?)?;
    Ok((Tensor::f_cat(&nearest, 0)?, means))
}

/// Normalised mutual information of two labellings of the same points, 0 (independent) to 1 (the same up to names): their
/// mutual information over the arithmetic mean of their entropies. 1 if both have one class only.
#[must_use]
pub fn normalised_mutual_information(labels: &[i64], clusters: &[i64]) -> f64 {
    let (mut rows, mut columns, mut cells) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (label, cluster) in labels.iter().zip(clusters) {
        *rows.entry(*label).or_insert(0_u64) += 1;
        *columns.entry(*cluster).or_insert(0_u64) += 1;
        *cells.entry((*label, *cluster)).or_insert(0_u64) += 1;
    }
    if rows.len() <= 1 && columns.len() <= 1 {
        return 1.0;
    }
    let total = labels.len().min(clusters.len()) as f64;
    let entropy = |counts: &BTreeMap<i64, u64>| -> f64 {
        counts.values().map(|count| *count as f64 / total).map(|share| -share * share.ln()).sum()
    };
    let mutual: f64 = cells
        .iter()
        .map(|((label, cluster), count)| {
            let expected = (rows.get(label).copied().unwrap_or(0) * columns.get(cluster).copied().unwrap_or(0)) as f64;
            let count = *count as f64;
            count / total * (count * total / expected).ln()
        })
        .sum();
    (mutual / (0.5 * (entropy(&rows) + entropy(&columns)))).clamp(0.0, 1.0)
}
