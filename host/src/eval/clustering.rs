//! k-means, and the normalised mutual information of clusters and classes.

use std::collections::BTreeMap;

use lossmith_plugin::random_streams::{self, Purpose};
use rand_chacha::rand_core::Rng;
use tch::{TchError, Tensor};

use super::points::{Points, blocks};
use super::{Distance, EvalError, Measuring, Watch};

/// Rounds of Lloyd's algorithm, if it does not come to rest before.
const ROUNDS: usize = 100;

/// Products of points and centres that are held at once.
const PRODUCTS: i64 = 1 << 24;

/// From so many clusters on, the distances from new centres are computed for several of them at once.
const MANY: usize = 512;
/// That many.
const AT_ONCE: usize = 64;
/// Points that may be refused in a row before the distances are computed all the same.
const REFUSED: usize = 32;

/// Puts the rows of `embeddings` (N x D, any float type, finite) into `clusters` clusters and returns the cluster of
/// each.
///
/// Centres start by k-means++ (Arthur and Vassilvitskii, 2007) from `seed` and move by Lloyd's algorithm until no point
/// changes its cluster, for 100 rounds at most. For [`Distance::Cosine`] the rows are scaled to length 1 first. A
/// cluster that loses all its points keeps its centre.
///
/// # Errors
/// Embeddings that are not a matrix or not finite, more clusters than points.
pub fn k_means(embeddings: &Tensor, clusters: usize, distance: Distance, seed: u64) -> Result<Vec<i64>, EvalError> {
    k_means_watched(embeddings, clusters, distance, seed, &mut |_| ())
}

/// As [`k_means`], and says how far it is.
pub(super) fn k_means_watched(
    embeddings: &Tensor,
    clusters: usize,
    distance: Distance,
    seed: u64,
    watch: &mut Watch<'_>,
) -> Result<Vec<i64>, EvalError> {
    let points = Points::new(embeddings, distance)?;
    if clusters == 0 || i64::try_from(clusters).unwrap_or(i64::MAX) > points.len() {
        return Err(EvalError::Clusters { points: points.len(), clusters });
    }
    let first = first_centres(&points, clusters, seed, watch)?;
    let mut clustering = Clustering::new(&points, &first)?;
    for round in 0..=ROUNDS {
        watch(Measuring::new("NMI: moving the centres", round as i64, ROUNDS as i64));
        if !clustering.assign()? {
            break;
        }
        clustering.move_centres();
    }
    Ok(clustering.nearest)
}

/// k-means++: the first centre is any point, each further one a point with a probability that is proportional to its
/// squared distance from the nearest centre so far.
///
/// Where there are many clusters, a point is drawn by distances that lack the newest centres, and taken with the share
/// of its distance that these leave: so the probabilities are the same, and the distances of all points are products of
/// matrices.
fn first_centres(points: &Points, clusters: usize, seed: u64, watch: &mut Watch<'_>) -> Result<Tensor, TchError> {
    let mut generator = random_streams::generator(seed, Purpose::Clustering, 0, 0);
    // 53 random bits: a number in [0, 1).
    let mut draw = || (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let at_once = if clusters < MANY { 1 } else { AT_ONCE };
    let mut weights = Weights::new(vec![1.0; points.len() as usize]);
    let mut nearest: Option<Tensor> = None;
    let (mut rows, mut recent, mut refused): (Vec<Tensor>, Vec<Tensor>, usize) = (Vec::new(), Vec::new(), 0);
    while rows.len() < clusters {
        let position = weights.at(draw());
        if !recent.is_empty() {
            let newest = Points::from_rows(Tensor::f_cat(&recent, 0)?)?;
            let left = points.squared_distances(position, 1, &newest)?.f_min()?.f_double_value(&[])?;
            if draw() * weights.of(position) >= left {
                refused += 1;
            } else {
                refused = 0;
            }
        }
        if refused == 0 {
            let chosen = points.block(position, 1)?;
            recent.push(chosen.shallow_clone());
            rows.push(chosen);
        }
        // The first weights know of no centre and are no distances.
        if nearest.is_none() || recent.len() >= at_once || refused >= REFUSED {
            let newest = Points::from_rows(Tensor::f_cat(&recent, 0)?)?;
            let (distances, _) = points.squared_distances(0, points.len(), &newest)?.f_min_dim(1, false)?;
            let least = match nearest {
                Some(before) => before.f_minimum(&distances)?,
                None => distances,
            };
            weights = Weights::new(Vec::try_from(&least)?);
            nearest = Some(least);
            recent.clear();
            refused = 0;
            watch(Measuring::new("NMI: first centres", rows.len() as i64, clusters as i64));
        }
    }
    Tensor::f_cat(&rows, 0)
}

/// Positions to draw from, each with a weight.
struct Weights {
    weights: Vec<f64>,
    /// The sum of the weights up to each position, itself included.
    sums: Vec<f64>,
}

impl Weights {
    fn new(weights: Vec<f64>) -> Self {
        let mut sum = 0.0;
        let sums = weights.iter().map(|weight| {
            sum += weight;
            sum
        });
        Self { sums: sums.collect(), weights }
    }

    fn of(&self, position: i64) -> f64 {
        usize::try_from(position).ok().and_then(|position| self.weights.get(position)).copied().unwrap_or(0.0)
    }

    /// The position whose share of the sum of the weights contains `at` (0 to 1). If all weights are 0, any will do.
    fn at(&self, at: f64) -> i64 {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let position = self.sums.partition_point(|sum| *sum <= at * total);
        if position < self.sums.len() { position as i64 } else { (at * self.sums.len() as f64) as i64 }
    }
}

/// Lloyd's algorithm. A point is compared with all centres where its own has moved, and otherwise with those that have:
/// the others are as far from it as before.
struct Clustering<'a> {
    points: &'a Points,
    /// The points (N x D) and the centres (K x D) on the host, where sums have the order of the points.
    rows: Vec<f64>,
    centres: Vec<f64>,
    dimensions: usize,
    /// The centre of each point; -1 before the first round.
    nearest: Vec<i64>,
    /// The squared distance from it, less the squared length of the point.
    scores: Vec<f64>,
    moved: Vec<bool>,
}

impl<'a> Clustering<'a> {
    fn new(points: &'a Points, centres: &Tensor) -> Result<Self, TchError> {
        let host = |rows: &Tensor| Vec::<f64>::try_from(rows.f_contiguous()?.f_view([-1])?);
        let (count, clusters) = (points.len() as usize, centres.size().first().copied().unwrap_or(0) as usize);
        Ok(Self {
            points,
            rows: host(&points.rows)?,
            centres: host(centres)?,
            dimensions: points.dimensions() as usize,
            nearest: vec![-1; count],
            scores: vec![f64::INFINITY; count],
            moved: vec![true; clusters],
        })
    }

    /// Gives each point its nearest centre, the first of equals. False if no point has changed its centre.
    fn assign(&mut self) -> Result<bool, TchError> {
        let device = self.points.device();
        let shape = [self.moved.len() as i64, self.dimensions as i64];
        let centres = Points::from_rows(Tensor::f_from_slice(&self.centres)?.f_view(shape)?.f_to_device(device)?)?;
        let moved: Vec<i64> = (0..).zip(&self.moved).filter(|(_, moved)| **moved).map(|(at, _)| at).collect();
        let lost = |at: i64| usize::try_from(at).ok().and_then(|at| self.moved.get(at)).is_none_or(|moved| *moved);
        let (all, some): (Vec<i64>, Vec<i64>) =
            (0..self.points.len()).partition(|at| self.nearest.get(*at as usize).is_none_or(|nearest| lost(*nearest)));
        let mut changed = vec![false; self.moved.len()];
        let everywhere: Vec<i64> = (0..shape[0]).collect();
        for (points, among, anew) in [(all, &everywhere, true), (some, &moved, false)] {
            if points.is_empty() || among.is_empty() {
                continue;
            }
            let among_rows = centres.rows.f_index_select(0, &Tensor::f_from_slice(among)?.f_to_device(device)?)?;
            let among_points = Points::from_rows(among_rows)?;
            let block = (PRODUCTS / among.len() as i64).max(64);
            for (start, count) in blocks(points.len() as i64, block) {
                let block = points.get(start as usize..(start + count) as usize).unwrap_or_default();
                let rows = self.points.rows.f_index_select(0, &Tensor::f_from_slice(block)?.f_to_device(device)?)?;
                let (scores, found) = among_points.scores(&rows)?.f_min_dim(1, false)?;
                let (scores, found) = (Vec::<f64>::try_from(scores)?, Vec::<i64>::try_from(found)?);
                for ((point, score), found) in block.iter().zip(scores).zip(found) {
                    let centre = among.get(found as usize).copied().unwrap_or_default();
                    self.take(*point as usize, centre, score, anew, &mut changed);
                }
            }
        }
        self.moved = changed;
        Ok(self.moved.contains(&true))
    }

    /// Gives a point a centre: in any case, or if that is nearer than the one it has.
    fn take(&mut self, point: usize, centre: i64, score: f64, anew: bool, changed: &mut [bool]) {
        let (Some(nearest), Some(before)) = (self.nearest.get_mut(point), self.scores.get_mut(point)) else { return };
        if !anew && (score, centre) >= (*before, *nearest) {
            return;
        }
        if *nearest != centre {
            let both = [*nearest, centre].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
            for at in both {
                if let Some(changed) = changed.get_mut(at) {
                    *changed = true;
                }
            }
        }
        (*nearest, *before) = (centre, score);
    }

    /// Moves the centres whose points have changed to the means of these.
    fn move_centres(&mut self) {
        let width = self.dimensions.max(1);
        let mut counts = vec![0_u64; self.moved.len()];
        let mut sums = vec![0.0; self.centres.len()];
        for (row, nearest) in self.rows.chunks_exact(width).zip(&self.nearest) {
            let at = *nearest as usize;
            if !self.moved.get(at).is_some_and(|moved| *moved) {
                continue;
            }
            if let (Some(count), Some(sum)) = (counts.get_mut(at), sums.get_mut(at * width..(at + 1) * width)) {
                *count += 1;
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
        }
        let centres = self.centres.chunks_exact_mut(width).zip(sums.chunks_exact(width));
        for ((centre, sum), count) in centres.zip(counts).filter(|(_, count)| *count > 0) {
            centre.iter_mut().zip(sum).for_each(|(value, sum)| *value = sum / count as f64);
        }
    }
}

/// Normalised mutual information of two labellings of the same points, 0 (independent) to 1 (the same up to names):
/// their mutual information over the arithmetic mean of their entropies. 1 if both have one class only.
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

#[cfg(test)]
mod tests;
