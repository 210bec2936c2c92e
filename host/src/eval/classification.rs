//! Classification by embeddings: nearest neighbours, class means and a linear classifier.
//!
//! Labelled training features decide on the class of a query. The vote and the class means use the distances and the
//! order of [`retrieval`](fn@super::retrieval), the linear classifier uses the features as that scales them. All three
//! give the same result on every call.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use serde::Serialize;
use tch::{Kind, TchError, Tensor};

use super::points::{Points, blocks};
use super::retrieval::{Labels, ranking_keys};
use super::softmax::Softmax;
use super::{ClassificationConfig, Classifier, Distance, EvalError};

/// Points whose classes are written as rows of 0 and 1 at once.
const BLOCK: i64 = 4096;

/// How often queries of each class were taken for each class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Classification {
    /// The labels of the training features and of the queries, ascending.
    pub classes: Vec<i64>,
    /// Queries by their true class (row) and the class that was found (column), both in the order of `classes`.
    pub confusion: Vec<Vec<u64>>,
}

impl Classification {
    fn new(classes: &[i64], pairs: impl Iterator<Item = (i64, i64)>) -> Self {
        let mut confusion = vec![vec![0; classes.len()]; classes.len()];
        let at = |label| classes.partition_point(|class| *class < label);
        for (label, found) in pairs {
            if let Some(cell) = confusion.get_mut(at(label)).and_then(|row: &mut Vec<u64>| row.get_mut(at(found))) {
                *cell += 1;
            }
        }
        Self { classes: classes.to_vec(), confusion }
    }

    /// The share of queries whose class was found, 0 to 1.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let (right, all) = self.rows().fold((0, 0), |sum, (_, right, all)| (sum.0 + right, sum.1 + all));
        share(right, all)
    }

    /// The mean of [`Self::class_accuracy`], whatever the size of a class.
    #[must_use]
    pub fn mean_class_accuracy(&self) -> f64 {
        let accuracies = self.class_accuracy();
        accuracies.values().sum::<f64>() / accuracies.len().max(1) as f64
    }

    /// The share of the queries of each class whose class was found, 0 to 1, by label; only of classes that have
    /// queries.
    #[must_use]
    pub fn class_accuracy(&self) -> BTreeMap<i64, f64> {
        self.rows().filter(|(.., all)| *all > 0).map(|(class, right, all)| (class, share(right, all))).collect()
    }

    /// Each class, how many of its queries are right, and how many it has.
    fn rows(&self) -> impl Iterator<Item = (i64, u64, u64)> {
        let rows = self.classes.iter().zip(&self.confusion).enumerate();
        rows.map(|(at, (class, row))| (*class, row.get(at).copied().unwrap_or(0), row.iter().sum()))
    }
}

fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

/// Features with known classes.
struct LabelledFeatures {
    points: Points,
    /// The number of the class of each point (N, int64), the classes being numbered from 0 in the order of their
    /// labels.
    classes: Tensor,
    /// How many classes.
    count: i64,
}

/// Classifies `queries` (M x D) by `features` (N x D, both any float type, finite) with their `labels` (N, int64), once
/// by each of the classifiers of `config`, and compares with `query_labels` (M, int64). A query of a class that no
/// feature has is always wrong. Works on the device of the features; `block` queries at a time need about 16 x `block`
/// x N bytes on it. The result does not depend on `block`.
///
/// # Errors
/// Wrong shapes or types, numbers that are not finite, different dimensions, or no features or queries at all.
pub fn classify(
    features: &Tensor,
    labels: &Tensor,
    queries: &Tensor,
    query_labels: &Tensor,
    config: &ClassificationConfig,
    distance: Distance,
    block: NonZeroUsize,
) -> Result<BTreeMap<Classifier, Classification>, EvalError> {
    let points = Points::new(features, distance)?;
    let labels = Labels::new(labels, &points)?;
    let queries = Points::new(queries, distance)?;
    let query_labels = Labels::new(query_labels, &queries)?;
    if queries.dimensions() != points.dimensions() {
        return Err(EvalError::Dimensions { queries: queries.dimensions(), references: points.dimensions() });
    }
    if points.len() == 0 || queries.len() == 0 {
        return Err(EvalError::NothingToClassify { queries: queries.len(), features: points.len() });
    }
    let known: Vec<i64> = labels.host.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let numbers: Vec<i64> =
        labels.host.iter().map(|label| known.partition_point(|class| class < label) as i64).collect();
    let classes = Tensor::f_from_slice(&numbers)?.f_to_device(points.device())?;
    let training = LabelledFeatures { points, classes, count: known.len() as i64 };
    let all: Vec<i64> = known.iter().chain(&query_labels.host).copied().collect::<BTreeSet<_>>().into_iter().collect();

    let block = i64::try_from(block.get()).unwrap_or(i64::MAX);
    let mut results = BTreeMap::new();
    for classifier in &config.classifiers {
        let found = match classifier {
            Classifier::Linear => {
                let softmax = Softmax::fit(&training.points, &training.classes, training.count, config)?;
                softmax.predict(&queries, block)?
            }
            Classifier::NearestNeighbours => training.vote(&queries, config.neighbours, block)?,
            Classifier::ClassMean => training.nearest_mean(&queries, distance, block)?,
        };
        let found = Vec::<i64>::try_from(found)?;
        let found = found.iter().filter_map(|number| known.get(usize::try_from(*number).ok()?).copied());
        results.insert(*classifier, Classification::new(&all, query_labels.host.iter().copied().zip(found)));
    }
    Ok(results)
}

impl LabelledFeatures {
    /// The class of each query (M, int64) by a vote of its `neighbours` nearest points.
    fn vote(&self, queries: &Points, neighbours: NonZeroUsize, block: i64) -> Result<Tensor, TchError> {
        let like = (Kind::Int64, self.points.device());
        let positions = Tensor::f_arange(self.points.len(), like)?;
        let voters = i64::try_from(neighbours.get()).unwrap_or(i64::MAX).min(self.points.len());
        let nearness = Tensor::f_arange_start_step(voters - 1, -1, -1, like)?;
        let mut winners = Vec::new();
        for (start, count) in blocks(queries.len(), block) {
            let keys = ranking_keys(queries, start, count, &self.points, &positions)?;
            let (nearest, _) = keys.f_topk(voters, 1, false, true)?;
            let nearest = nearest.f_bitwise_and(i64::from(u32::MAX))?.f_view([-1])?;
            let classes = self.classes.f_index_select(0, &nearest)?.f_view([count, voters])?;
            let mut votes = Tensor::f_zeros([count, self.count], like)?;
            let _ = votes.f_scatter_add_(1, &classes, &classes.f_ones_like()?)?;
            // The nearness of a voter is below the weight of a vote, so that it only counts between equal numbers of
            // votes.
            let strength = votes.f_gather(1, &classes, false)?.f_mul_scalar_(voters)?.f_add_(&nearness)?;
            let winner = strength.f_argmax(1, true)?;
            winners.push(classes.f_gather(1, &winner, false)?.f_view([-1])?);
        }
        Tensor::f_cat(&winners, 0)
    }

    /// The class of each query (M, int64) whose mean is nearest; with cosines, the mean scaled to length 1. Of classes
    /// at the same distance it is the first.
    fn nearest_mean(&self, queries: &Points, distance: Distance, block: i64) -> Result<Tensor, EvalError> {
        let means = Points::new(&self.means()?, distance)?;
        let positions = Tensor::f_arange(means.len(), (Kind::Int64, means.device()))?;
        let nearest = |(start, count)| {
            let (keys, _) = ranking_keys(queries, start, count, &means, &positions)?.f_min_dim(1, false)?;
            keys.f_bitwise_and(i64::from(u32::MAX))
        };
        let found: Vec<Tensor> = blocks(queries.len(), block).map(nearest).collect::<Result<_, TchError>>()?;
        Ok(Tensor::f_cat(&found, 0)?)
    }

    /// The mean of the points of each class (C x D, double).
    fn means(&self) -> Result<Tensor, TchError> {
        let like = (Kind::Double, self.points.device());
        let mut sums = Tensor::f_zeros([self.count, self.points.dimensions()], like)?;
        let mut sizes = Tensor::f_zeros([self.count, 1], like)?;
        for (start, count) in blocks(self.points.len(), BLOCK) {
            // Sums by a product with a 0-1 matrix: adding by index would add in a random order on a GPU.
            let mut members = Tensor::f_zeros([count, self.count], like)?;
            let classes = self.classes.f_narrow(0, start, count)?.f_unsqueeze(1)?;
            let members = members.f_scatter_value_(1, &classes, 1.0)?.f_tr()?;
            let _ = sums.f_add_(&members.f_matmul(&self.points.block(start, count)?)?)?;
            let _ = sizes.f_add_(&members.f_sum_dim_intlist(1, true, Kind::Double)?)?;
        }
        sums.f_div(&sizes)
    }
}

#[cfg(test)]
mod tests;
