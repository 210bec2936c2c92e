//! Mean distances of embeddings within and between classes.

use std::collections::BTreeMap;

use serde::Serialize;
use tch::{Kind, Tensor};

use super::points::{Points, blocks};
use super::retrieval::Labels;
use super::{EvalError, EvaluationConfig};

/// Mean distances over pairs of images, under the distance that the evaluation is set to; with cosines, the Euclidean
/// distance of the vectors scaled to length 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClassDistances {
    /// Over all pairs of one class; none if there is no such pair.
    pub intra: Option<f64>,
    /// Over all pairs of different classes; none if there is no such pair.
    pub inter: Option<f64>,
}

impl ClassDistances {
    /// The mean distance within classes over the one between them: the smaller, the more compact are classes for the
    /// space that they have. None if one of the two is missing, or if all classes lie on one spot.
    ///
    /// Roth et al. ("Revisiting Training Strategies and Generalization Performance in Deep Metric Learning", ICML 2020)
    /// report such a ratio; ours is over pairs of images, so large classes count more in it.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let inter = self.inter.filter(|inter| *inter > 0.0)?;
        self.intra.map(|intra| intra / inter)
    }

    /// The values of `intra-distance`, `inter-distance` and `distance-ratio`, as far as there are pairs.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, f64> {
        let named = [("intra-distance", self.intra), ("inter-distance", self.inter), ("distance-ratio", self.ratio())];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Measures `embeddings` (N x D, any float type, finite) with `labels` (N, int64), a block of rows at a time.
///
/// # Errors
/// Wrong shapes or types, or embeddings that are not finite.
pub fn class_distances(
    embeddings: &Tensor,
    labels: &Tensor,
    config: &EvaluationConfig,
) -> Result<ClassDistances, EvalError> {
    let points = Points::new(embeddings, config.distance)?;
    let labels = Labels::new(labels, &points)?;
    let (mut intra, mut inter) = (0.0, 0.0);
    let block = i64::try_from(config.block.get()).unwrap_or(i64::MAX);
    for (start, count) in blocks(points.len(), block) {
        let mut distances = points.squared_distances(start, count, &points)?.f_sqrt_()?;
        // The distance of a point to itself is no pair's.
        let _ = distances.f_diagonal(start, 0, 1)?.f_fill_(0.0)?;
        let of_block = labels.device.f_narrow(0, start, count)?.f_unsqueeze(1)?;
        let same = of_block.f_eq_tensor(&labels.device)?;
        let within = distances.f_masked_fill(&same.f_logical_not()?, 0.0)?;
        intra += within.f_sum(Kind::Double)?.f_double_value(&[])?;
        inter += distances.f_masked_fill_(&same, 0.0)?.f_sum(Kind::Double)?.f_double_value(&[])?;
    }
    let mut sizes = BTreeMap::<i64, f64>::new();
    for label in &labels.host {
        *sizes.entry(*label).or_default() += 1.0;
    }
    // Each pair was added up twice, and is counted twice here.
    let total = labels.host.len() as f64;
    let within = sizes.values().map(|size| size * (size - 1.0)).sum::<f64>();
    let between = sizes.values().map(|size| size * (total - size)).sum::<f64>();
    let mean = |sum: f64, pairs: f64| (pairs > 0.0).then(|| sum / pairs);
    Ok(ClassDistances { intra: mean(intra, within), inter: mean(inter, between) })
}
