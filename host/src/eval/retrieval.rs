//! Precision and recall of a nearest-neighbour search.
//!
//! Definitions as in Musgrave, Belongie and Lim, "A Metric Learning Reality Check" (ECCV 2020). For a query with R relevant
//! references (those of its class, itself not counted):
//! - P@1: whether its nearest reference is relevant; Recall@K: whether one of its K nearest is;
//! - R-precision: the share of relevant ones among its R nearest;
//! - MAP@R: (1/R) x the sum over i = 1..R of rel(i) x (the share of relevant ones among its i nearest).
//!
//! A query whose R is 0 is left out and counted in [`Retrieval::excluded`].

use std::collections::BTreeMap;

use serde::Serialize;
use tch::{Device, Kind, TchError, Tensor};

use super::points::{Points, blocks};
use super::{EvalError, EvaluationConfig, Measuring, Watch};

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Retrieval {
    /// Means over all queries that count.
    pub overall: Scores,
    /// Means over the classes of the values of `per_class`, whatever the size of a class.
    pub macro_average: Scores,
    /// Means over the queries of each class, by label.
    pub per_class: BTreeMap<i64, Scores>,
    /// Queries that were left out because there is nothing for them to find.
    pub excluded: usize,
}

impl Retrieval {
    /// Of queries of which none has anything to find.
    pub(super) fn of_nothing(queries: usize) -> Self {
        let scores = Scores::default;
        Self { overall: scores(), macro_average: scores(), per_class: BTreeMap::new(), excluded: queries }
    }
}

/// Means over some queries, each from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scores {
    /// How many queries.
    pub queries: u64,
    /// P@1.
    pub precision_at_1: f64,
    /// Recall@K by K.
    pub recall_at: BTreeMap<usize, f64>,
    /// R-precision.
    pub r_precision: f64,
    /// MAP@R.
    pub map_at_r: f64,
}

impl Scores {
    /// The numbers by name: `precision-at-1`, `recall-at-K`, `r-precision`, `map-at-r`, each with `prefix` before it.
    #[must_use]
    pub fn values(&self, prefix: &str) -> BTreeMap<String, f64> {
        let named =
            [("precision-at-1", self.precision_at_1), ("r-precision", self.r_precision), ("map-at-r", self.map_at_r)];
        let recall = self.recall_at.iter().map(|(k, value)| (format!("{prefix}recall-at-{k}"), *value));
        named.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).chain(recall).collect()
    }
}

/// Searches each row of `embeddings` (N x D, any float type, finite) among all the others; `labels` (N, int64) say which
/// belong together. Works on the device of the embeddings; `config.block` says what memory it takes. References at the same
/// distance (to single precision) are ranked by their position, the first one first.
///
/// # Errors
/// Wrong shapes or types, embeddings that are not finite, or no class with two members.
pub fn retrieval(embeddings: &Tensor, labels: &Tensor, config: &EvaluationConfig) -> Result<Retrieval, EvalError> {
    retrieval_watched(embeddings, labels, config, &mut |_| ())
}

/// As [`retrieval`], and says how far it is.
pub(super) fn retrieval_watched(
    embeddings: &Tensor,
    labels: &Tensor,
    config: &EvaluationConfig,
    watch: &mut Watch<'_>,
) -> Result<Retrieval, EvalError> {
    let points = Points::new(embeddings, config.distance)?;
    let labels = Labels::new(labels, &points)?;
    search(&points, &labels, None, config, watch)
}

/// As [`retrieval`], but searches each query among separate references, which no query is a member of.
///
/// # Errors
/// As [`retrieval`], or the two sets have different dimensions.
pub fn retrieval_against(
    queries: &Tensor,
    query_labels: &Tensor,
    references: &Tensor,
    reference_labels: &Tensor,
    config: &EvaluationConfig,
) -> Result<Retrieval, EvalError> {
    let queries = Points::new(queries, config.distance)?;
    let query_labels = Labels::new(query_labels, &queries)?;
    let references = Points::new(references, config.distance)?;
    let reference_labels = Labels::new(reference_labels, &references)?;
    if queries.dimensions() != references.dimensions() {
        return Err(EvalError::Dimensions { queries: queries.dimensions(), references: references.dimensions() });
    }
    search(&queries, &query_labels, Some((&references, &reference_labels)), config, &mut |_| ())
}

/// Labels on the device, for comparing, and on the host, for counting.
pub(super) struct Labels {
    pub(super) device: Tensor,
    pub(super) host: Vec<i64>,
}

impl Labels {
    pub(super) fn new(labels: &Tensor, points: &Points) -> Result<Self, EvalError> {
        let (kind, shape) = (labels.f_kind()?, labels.size());
        if kind != Kind::Int64 || shape != [points.len()] {
            return Err(EvalError::Labels { rows: points.len(), shape, kind });
        }
        Ok(Self { device: labels.f_to_device(points.device())?, host: Vec::try_from(labels)? })
    }
}

/// What is counted for one class.
#[derive(Default)]
struct Tally {
    /// R, the same for all queries of the class.
    relevant: usize,
    queries: u64,
    nearest: u64,
    recall: Vec<u64>,
    /// Relevant references among the R nearest, over all queries.
    within_r: u64,
    /// R x MAP@R, summed over all queries in their order.
    precision: f64,
}

impl Tally {
    /// Adds a query; `ranking` says of its nearest references, in order, whether they are relevant.
    fn add(&mut self, ranking: &[bool], recall_at: &[usize]) {
        let first = ranking.iter().position(|relevant| *relevant).unwrap_or(usize::MAX);
        self.queries += 1;
        self.nearest += u64::from(first == 0);
        self.recall.resize(recall_at.len(), 0);
        for (count, k) in self.recall.iter_mut().zip(recall_at) {
            *count += u64::from(first < *k);
        }
        let mut found = 0_u64;
        for (rank, _) in ranking.iter().take(self.relevant).enumerate().filter(|(_, relevant)| **relevant) {
            found += 1;
            self.precision += found as f64 / (rank + 1) as f64;
        }
        self.within_r += found;
    }

    fn scores(&self, recall_at: &[usize]) -> Scores {
        let queries = self.queries as f64;
        let recall = self.recall.iter().map(|count| *count as f64 / queries);
        Scores {
            queries: self.queries,
            precision_at_1: self.nearest as f64 / queries,
            recall_at: recall_at.iter().copied().zip(recall).collect(),
            r_precision: self.within_r as f64 / (queries * self.relevant as f64),
            map_at_r: self.precision / (queries * self.relevant as f64),
        }
    }
}

fn search(
    queries: &Points,
    labels: &Labels,
    references: Option<(&Points, &Labels)>,
    config: &EvaluationConfig,
    watch: &mut Watch<'_>,
) -> Result<Retrieval, EvalError> {
    let (targets, target_labels) = references.unwrap_or((queries, labels));
    let itself = usize::from(references.is_none());

    let mut sizes = BTreeMap::<i64, usize>::new();
    for label in &target_labels.host {
        *sizes.entry(*label).or_default() += 1;
    }
    let mut tallies = BTreeMap::new();
    for label in &labels.host {
        let relevant = sizes.get(label).copied().unwrap_or(0).saturating_sub(itself);
        if relevant > 0 {
            tallies.entry(*label).or_insert(Tally { relevant, ..Tally::default() });
        }
    }
    let largest = tallies.values().map(|tally| tally.relevant).max();
    let largest = largest.ok_or(EvalError::NoQueries { queries: labels.host.len() })?;
    let mut recall_at: Vec<usize> = config.recall_at.iter().map(|k| k.get()).collect();
    recall_at.sort_unstable();
    recall_at.dedup();

    // All R nearest of every query are looked at, so that MAP@R is never cut short by a K that is too small.
    let wanted = largest.max(recall_at.last().copied().unwrap_or(1)).min(target_labels.host.len() - itself);
    let mut excluded = 0;
    let mut rankings = Vec::new();
    let positions = Tensor::f_arange(targets.len(), (Kind::Int64, queries.device()))?;
    let block = i64::try_from(config.block.get()).unwrap_or(i64::MAX);
    for (start, count) in blocks(queries.len(), block) {
        watch(Measuring::new("retrieval", start, queries.len()));
        let keys = ranking_keys(queries, start, count, targets, &positions)?;
        if references.is_none() {
            let _ = keys.f_diagonal(start, 0, 1)?.f_fill_(i64::MAX)?;
        }
        relevance(&keys, wanted, &labels.device.f_narrow(0, start, count)?, &target_labels.device, &mut rankings)?;
        for (label, ranking) in labels.host.iter().skip(start as usize).zip(rankings.chunks_exact(wanted)) {
            match tallies.get_mut(label) {
                Some(tally) => tally.add(ranking, &recall_at),
                None => excluded += 1,
            }
        }
    }
    let per_class: BTreeMap<i64, Scores> =
        tallies.iter().map(|(label, tally)| (*label, tally.scores(&recall_at))).collect();
    Ok(Retrieval {
        overall: mean(&per_class, &recall_at, |scores| scores.queries as f64),
        macro_average: mean(&per_class, &recall_at, |_| 1.0),
        per_class,
        excluded,
    })
}

/// One integer for each query and reference (count x M, int64), whose order is that of the distances (in single precision)
/// and then of the positions: no two of a query are equal, so the ranking is the same on every device.
pub(super) fn ranking_keys(
    queries: &Points,
    start: i64,
    count: i64,
    references: &Points,
    positions: &Tensor,
) -> Result<Tensor, TchError> {
    // The bits of a float that is not negative, read as an integer, have the order of the floats.
    let bits = queries.squared_distances(start, count, references)?.f_to_kind(Kind::Float)?.f_view_dtype(Kind::Int)?;
    bits.f_to_kind(Kind::Int64)?.f_mul_scalar_(1_i64 << 32)?.f_add_(positions)
}

/// Writes for each query whether its `wanted` nearest references are of its class, nearest first, to `rankings`.
fn relevance(
    keys: &Tensor,
    wanted: usize,
    labels: &Tensor,
    reference_labels: &Tensor,
    rankings: &mut Vec<bool>,
) -> Result<(), TchError> {
    let (nearest, _) = keys.f_topk(wanted as i64, 1, false, true)?;
    let positions = nearest.f_bitwise_and(i64::from(u32::MAX))?;
    let found = reference_labels.f_index_select(0, &positions.f_flatten(0, 1)?)?.f_view_as(&positions)?;
    let relevant = found.f_eq_tensor(&labels.f_unsqueeze(1)?)?.f_to_device(Device::Cpu)?;
    rankings.resize(relevant.numel(), false);
    relevant.f_copy_data(rankings, relevant.numel())
}

fn mean(per_class: &BTreeMap<i64, Scores>, recall_at: &[usize], weight: impl Fn(&Scores) -> f64) -> Scores {
    let total: f64 = per_class.values().map(&weight).sum();
    let mean = |value: &dyn Fn(&Scores) -> f64| -> f64 {
        per_class.values().map(|scores| weight(scores) * value(scores)).sum::<f64>() / total
    };
    Scores {
        queries: per_class.values().map(|scores| scores.queries).sum(),
        precision_at_1: mean(&|scores| scores.precision_at_1),
        recall_at: recall_at
            .iter()
            .map(|k| (*k, mean(&|scores| scores.recall_at.get(k).copied().unwrap_or(0.0))))
            .collect(),
        r_precision: mean(&|scores| scores.r_precision),
        map_at_r: mean(&|scores| scores.map_at_r),
    }
}
