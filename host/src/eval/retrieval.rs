//! Precision and recall of a nearest-neighbour search.
//!
//! Definitions as in Musgrave, Belongie and Lim, "A Metric Learning Reality Check" (ECCV 2020). For a query with R
//! relevant references (those of its class, itself not counted):
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

/// Searches each row of `embeddings` (N x D, any float type, finite) among all the others; `labels` (N, int64) say
/// which belong together. Works on the device of the embeddings; `config.block` says what memory it takes. References
/// at the same distance (to single precision) are ranked by their position, the first one first.
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
    search(&points, &labels, &Targets::Others, config, watch)
}

/// Which rows of a set of embeddings are queries, and which are in the gallery that they are searched for in.
#[derive(Clone, Copy, Debug)]
pub struct Roles<'a> {
    /// Whether each row is a query.
    pub queries: &'a [bool],
    /// Whether each row is in the gallery.
    pub gallery: &'a [bool],
}

/// As [`retrieval`], but searches only the queries, and only in the gallery. A row may be both; it does not find
/// itself.
///
/// # Errors
/// As [`retrieval`].
pub fn retrieval_in_gallery(
    embeddings: &Tensor,
    labels: &Tensor,
    roles: Roles<'_>,
    config: &EvaluationConfig,
) -> Result<Retrieval, EvalError> {
    in_gallery_watched(embeddings, labels, roles, config, &mut |_| ())
}

/// As [`retrieval_in_gallery`], and says how far it is.
pub(super) fn in_gallery_watched(
    embeddings: &Tensor,
    labels: &Tensor,
    roles: Roles<'_>,
    config: &EvaluationConfig,
    watch: &mut Watch<'_>,
) -> Result<Retrieval, EvalError> {
    let points = Points::new(embeddings, config.distance)?;
    let labels = Labels::new(labels, &points)?;
    let positions = |of: &[bool]| (0..points.len()).zip(of).filter(|(_, is)| **is).map(|(row, _)| row).collect();
    let (queries, gallery): (Vec<i64>, Vec<i64>) = (positions(roles.queries), positions(roles.gallery));
    let own = queries.iter().map(|row| gallery.binary_search(row).ok().map(|place| place as i64)).collect();
    let (query_labels, gallery_labels) = (labels.select(&queries)?, labels.select(&gallery)?);
    let targets = Targets::Gallery { points: &points.select(&gallery)?, labels: &gallery_labels, own };
    search(&points.select(&queries)?, &query_labels, &targets, config, watch)
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
    let own = vec![None; query_labels.host.len()];
    let targets = Targets::Gallery { points: &references, labels: &reference_labels, own };
    search(&queries, &query_labels, &targets, config, &mut |_| ())
}

/// The rows that queries are searched for in.
enum Targets<'a> {
    /// The other queries.
    Others,
    /// Separate points. `own` is the place of each query among them, if it is there: it does not find itself.
    Gallery { points: &'a Points, labels: &'a Labels, own: Vec<Option<i64>> },
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

    /// The labels at these positions.
    fn select(&self, positions: &[i64]) -> Result<Self, TchError> {
        let device =
            self.device.f_index_select(0, &Tensor::f_from_slice(positions)?.f_to_device(self.device.device())?)?;
        Ok(Self { host: Vec::try_from(&device)?, device })
    }
}

/// The counts for the queries of one class that have the same R.
#[derive(Default)]
struct Tally {
    /// R.
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
    targets: &Targets<'_>,
    config: &EvaluationConfig,
    watch: &mut Watch<'_>,
) -> Result<Retrieval, EvalError> {
    let (references, reference_labels) = match targets {
        Targets::Others => (queries, labels),
        Targets::Gallery { points, labels, .. } => (*points, *labels),
    };
    // Whether a query is among the references.
    let itself = |query: usize| match targets {
        Targets::Others => true,
        Targets::Gallery { own, .. } => own.get(query).is_some_and(Option::is_some),
    };
    let mut sizes = BTreeMap::<i64, usize>::new();
    for label in &reference_labels.host {
        *sizes.entry(*label).or_default() += 1;
    }
    let relevant =
        |query: usize, label: &i64| sizes.get(label).copied().unwrap_or(0).saturating_sub(usize::from(itself(query)));
    let mut tallies = BTreeMap::new();
    for (query, label) in labels.host.iter().enumerate() {
        let relevant = relevant(query, label);
        if relevant > 0 {
            tallies.entry((*label, relevant)).or_insert(Tally { relevant, ..Tally::default() });
        }
    }
    let largest = tallies.values().map(|tally| tally.relevant).max();
    let largest = largest.ok_or(EvalError::NoQueries { queries: labels.host.len() })?;
    let mut recall_at: Vec<usize> = config.recall_at.iter().map(|k| k.get()).collect();
    recall_at.sort_unstable();
    recall_at.dedup();

    // All R nearest of every query are looked at, so that MAP@R is never cut short by a K that is too small.
    let most = reference_labels.host.len() - usize::from(matches!(targets, Targets::Others));
    let wanted = largest.max(recall_at.last().copied().unwrap_or(1)).min(most);
    let mut excluded = 0;
    let mut rankings = Vec::new();
    let positions = Tensor::f_arange(references.len(), (Kind::Int64, queries.device()))?;
    let block = i64::try_from(config.block.get()).unwrap_or(i64::MAX);
    for (start, count) in blocks(queries.len(), block) {
        watch(Measuring::new("retrieval", start, queries.len()));
        let keys = ranking_keys(queries, start, count, references, &positions)?;
        put_itself_last(&keys, start, targets)?;
        let of_block = labels.device.f_narrow(0, start, count)?;
        relevance(&keys, wanted, &of_block, &reference_labels.device, &mut rankings)?;
        let block = labels.host.iter().enumerate().skip(start as usize);
        for ((query, label), ranking) in block.zip(rankings.chunks_exact(wanted)) {
            let others = reference_labels.host.len() - usize::from(itself(query));
            match tallies.get_mut(&(*label, relevant(query, label))) {
                Some(tally) => tally.add(ranking.get(..others).unwrap_or(ranking), &recall_at),
                None => excluded += 1,
            }
        }
    }
    let mut of_class = BTreeMap::<i64, Vec<Scores>>::new();
    for ((label, _), tally) in &tallies {
        of_class.entry(*label).or_default().push(tally.scores(&recall_at));
    }
    let whole = |(label, scores): (i64, Vec<Scores>)| match <[Scores; 1]>::try_from(scores) {
        Ok([scores]) => (label, scores),
        Err(several) => (label, mean(several.iter(), &recall_at, |scores| scores.queries as f64)),
    };
    let per_class: BTreeMap<i64, Scores> = of_class.into_iter().map(whole).collect();
    Ok(Retrieval {
        overall: mean(per_class.values(), &recall_at, |scores| scores.queries as f64),
        macro_average: mean(per_class.values(), &recall_at, |_| 1.0),
        per_class,
        excluded,
    })
}

/// Ranks queries from `start` on behind all others where they are among the references.
fn put_itself_last(keys: &Tensor, start: i64, targets: &Targets<'_>) -> Result<(), TchError> {
    match targets {
        Targets::Others => {
            let _ = keys.f_diagonal(start, 0, 1)?.f_fill_(i64::MAX)?;
        }
        Targets::Gallery { own, .. } => {
            let rows = own.iter().skip(start as usize).take(keys.size().first().copied().unwrap_or(0) as usize);
            for (row, place) in (0..).zip(rows) {
                let Some(place) = place else { continue };
                // The place stays readable, as a query may be ranked among all references.
                let last = i64::MAX - i64::from(u32::MAX) + place;
                let _ = keys.f_narrow(0, row, 1)?.f_narrow(1, *place, 1)?.f_fill_(last)?;
            }
        }
    }
    Ok(())
}

/// One integer for each query and reference (count x M, int64), whose order is that of the distances (in single
/// precision) and then of the positions: no two of a query are equal, so the ranking is the same on every device.
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

fn mean<'a>(
    parts: impl Iterator<Item = &'a Scores> + Clone,
    recall_at: &[usize],
    weight: impl Fn(&Scores) -> f64,
) -> Scores {
    let total: f64 = parts.clone().map(&weight).sum();
    let mean = |value: &dyn Fn(&Scores) -> f64| -> f64 {
        parts.clone().map(|scores| weight(scores) * value(scores)).sum::<f64>() / total
    };
    Scores {
        queries: parts.clone().map(|scores| scores.queries).sum(),
        precision_at_1: mean(&|scores| scores.precision_at_1),
        recall_at: recall_at
            .iter()
            .map(|k| (*k, mean(&|scores| scores.recall_at.get(k).copied().unwrap_or(0.0))))
            .collect(),
        r_precision: mean(&|scores| scores.r_precision),
        map_at_r: mean(&|scores| scores.map_at_r),
    }
}
