//! How good an embedding is: retrieval metrics and clustering, for any number of images.
//!
//! [`evaluate`] is what a training calls after an epoch. [`retrieval`] ranks every row against all the others,
//! [`retrieval_against`] ranks queries against a separate set of references. Distances are computed a block of queries at a
//! time in double precision, and ranks are counted in integers, so a result depends neither on the size of the block nor on
//! the order in which a device adds numbers up. Only the last digits of the mean distances do.

mod clustering;
mod config;
mod distances;
mod error;
mod neighbours;
mod points;
mod retrieval;

pub use clustering::{k_means, normalised_mutual_information};
pub use config::{Distance, EvaluationConfig};
pub use distances::{ClassDistances, class_distances};
pub use error::EvalError;
pub use neighbours::{Neighbour, neighbours};
pub use retrieval::{Retrieval, Scores, retrieval, retrieval_against};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tch::Tensor;

/// Everything that is measured on one set of embeddings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evaluation {
    /// What a nearest-neighbour search finds.
    pub retrieval: Retrieval,
    /// How far apart the images of one class are, and those of different classes.
    pub distances: ClassDistances,
    /// Normalised mutual information of a k-means clustering and the labels, 0 to 1; none if it is switched off.
    pub nmi: Option<f64>,
}

impl Evaluation {
    /// The overall and the macro-averaged numbers by name (`map-at-r`, `macro-map-at-r`, `distance-ratio`, `nmi`, ...), as they
    /// are logged.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, f64> {
        let mut values = self.retrieval.overall.values("");
        values.extend(self.retrieval.macro_average.values("macro-"));
        values.extend(self.distances.values());
        values.extend(self.nmi.map(|nmi| ("nmi".to_owned(), nmi)));
        values
    }
}

/// Measures `embeddings` (N x D, any float type) with `labels` (N, int64): every row is searched for among the others, and
/// all rows are clustered into as many clusters as there are classes. `seed` chooses the first centres of the clusters.
///
/// # Errors
/// As [`retrieval`].
pub fn evaluate(
    embeddings: &Tensor,
    labels: &Tensor,
    config: &EvaluationConfig,
    seed: u64,
) -> Result<Evaluation, EvalError> {
    let retrieval = retrieval(embeddings, labels, config)?;
    let distances = class_distances(embeddings, labels, config)?;
    let nmi = if config.nmi {
        let labels = Vec::<i64>::try_from(labels)?;
        let classes = labels.iter().collect::<BTreeSet<_>>().len();
        Some(normalised_mutual_information(&labels, &k_means(embeddings, classes, config.distance, seed)?))
    } else {
        None
    };
    Ok(Evaluation { retrieval, distances, nmi })
}

#[cfg(test)]
mod tests;
