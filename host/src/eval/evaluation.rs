//! The evaluation of one set of embeddings, with all its metrics.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tch::Tensor;

use super::classification::Classification;
use super::classification_config::Classifier;
use super::clustering::{k_means_watched, normalised_mutual_information};
use super::config::EvaluationConfig;
use super::distances::{ClassDistances, class_distances};
use super::error::EvalError;
use super::progress::{Measuring, Watch};
use super::retrieval::{Retrieval, Roles, in_gallery_watched, retrieval_watched};
use super::slices::Slices;

/// The metrics of one set of embeddings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evaluation {
    /// What a nearest-neighbour search finds.
    pub retrieval: Retrieval,
    /// How far apart the images of one class are, and those of different classes.
    pub distances: ClassDistances,
    /// Normalised mutual information of a k-means clustering and the labels, 0 to 1; none if it is switched off.
    pub nmi: Option<f64>,
    /// The slices of the embedding, before they are fused; none if it has one or they were not measured.
    pub slices: Option<Slices>,
    /// How each classifier that was asked for tells the classes apart.
    pub classification: BTreeMap<Classifier, Classification>,
}

/// A class is in the record by itself where there are at most so many.
const CLASSES_IN_RECORD: usize = 50;

impl Evaluation {
    /// The overall and the macro-averaged numbers by name (`map-at-r`, `macro-map-at-r`, `distance-ratio`, `nmi`, ...),
    /// as they are logged; of the slices `slice.0.map-at-r`, ...; of a classifier `linear-accuracy`,
    /// `linear-mean-class-accuracy` and, of up to 50 classes, `linear-accuracy.NAME` for each class. `names` are those
    /// of the classes, by label.
    #[must_use]
    pub fn values(&self, names: &[String]) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        if self.retrieval.overall.queries > 0 {
            values.extend(self.retrieval.overall.values(""));
            values.extend(self.retrieval.macro_average.values("macro-"));
        }
        values.extend(self.distances.values());
        values.extend(self.nmi.map(|nmi| ("nmi".to_owned(), nmi)));
        values.extend(self.slices.iter().flat_map(Slices::values));
        for (classifier, classification) in &self.classification {
            values.insert(format!("{classifier}-accuracy"), classification.accuracy());
            values.insert(format!("{classifier}-mean-class-accuracy"), classification.mean_class_accuracy());
            if classification.classes.len() <= CLASSES_IN_RECORD {
                let by_class = classification.class_accuracy().into_iter();
                let named = |class| format!("{classifier}-accuracy.{}", class_name(names, class));
                values.extend(by_class.map(|(class, accuracy)| (named(class), accuracy)));
            }
        }
        values
    }
}

/// The name of a class; its label where it has none.
#[must_use]
pub fn class_name(names: &[String], class: i64) -> String {
    let name = usize::try_from(class).ok().and_then(|class| names.get(class));
    name.cloned().unwrap_or_else(|| class.to_string())
}

/// Measures `embeddings` (N x D, any float type) with `labels` (N, int64): every row is searched for among the others,
/// and all rows are clustered into as many clusters as there are classes. With `roles` only the queries are searched
/// for, in the gallery. `seed` chooses the first centres of the clusters. Where no row has another one of its class,
/// nothing is searched for, and the rest is measured. `watch` is told how far it is.
///
/// # Errors
/// As [`super::retrieval()`].
pub fn evaluate(
    embeddings: &Tensor,
    labels: &Tensor,
    roles: Option<Roles<'_>>,
    config: &EvaluationConfig,
    seed: u64,
    watch: &mut Watch<'_>,
) -> Result<Evaluation, EvalError> {
    let searched = match roles {
        Some(roles) => in_gallery_watched(embeddings, labels, roles, config, watch),
        None => retrieval_watched(embeddings, labels, config, watch),
    };
    let retrieval = match searched {
        Err(EvalError::NoQueries { queries }) => Retrieval::of_nothing(queries),
        searched => searched?,
    };
    watch(Measuring::new("distances", 0, 1));
    let distances = class_distances(embeddings, labels, config)?;
    let nmi = if config.nmi {
        let labels = Vec::<i64>::try_from(labels)?;
        let classes = labels.iter().collect::<BTreeSet<_>>().len();
        let clusters = k_means_watched(embeddings, classes, config.distance, seed, watch)?;
        Some(normalised_mutual_information(&labels, &clusters))
    } else {
        None
    };
    Ok(Evaluation { retrieval, distances, nmi, slices: None, classification: BTreeMap::new() })
}
