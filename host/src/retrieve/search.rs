//! Searches the nearest neighbours of each query.

use serde::Serialize;

use super::error::RetrieveError;
use crate::data::PartName;
use crate::eval::neighbours;
use crate::train::{Trained, TrainingError};

/// A query with its nearest neighbours.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueryResult {
    /// Number of the query in the data set.
    pub image: usize,
    /// Its class.
    pub class: String,
    /// Its neighbours, nearest first.
    pub neighbours: Vec<Hit>,
}

/// An image that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hit {
    /// Its number in the data set.
    pub image: usize,
    /// Its class.
    pub class: String,
    /// Its distance from the query, under the distance of the evaluation.
    pub distance: f64,
    /// Whether it is of the query's class.
    pub right: bool,
}

/// Searches for the rows `queries` of a part among all others of it, or of its gallery if it has one; finds `count` of
/// them, or all if there are fewer.
///
/// # Errors
/// The part is empty, or an image or a strategy fails.
pub fn find(
    trained: &mut Trained,
    part: PartName,
    queries: &[usize],
    count: usize,
) -> Result<Vec<QueryResult>, RetrieveError> {
    let (embeddings, _) = trained.embed(part)?;
    let distance = trained.evaluation().distance;
    let (dataset, images) = (trained.dataset(), trained.images(part));
    let gallery = images.queries_and_gallery().map(|(_, gallery)| gallery);
    let found = neighbours(&embeddings, queries, gallery, count, distance).map_err(TrainingError::from)?;
    let at = |row: usize| {
        let image = images.indices().get(row).copied().unwrap_or_default();
        let label = images.labels().get(row).copied().unwrap_or(-1);
        (image, label, dataset.class_name(label).to_owned())
    };
    let of_query = |(query, neighbours): (&usize, Vec<crate::eval::Neighbour>)| {
        let (image, wanted, class) = at(*query);
        let hits = neighbours.into_iter().map(|neighbour| {
            let (image, label, class) = at(neighbour.row);
            Hit { image, class, distance: neighbour.distance, right: label == wanted }
        });
        QueryResult { image, class, neighbours: hits.collect() }
    };
    Ok(queries.iter().zip(found).map(of_query).collect())
}

/// Checks that two runs have the same images in a part.
///
/// # Errors
/// They have not.
pub fn same_part(one: &Trained, other: &Trained, part: PartName) -> Result<(), RetrieveError> {
    if one.dataset().digest() != other.dataset().digest() {
        return Err(RetrieveError::Different("data"));
    }
    if one.images(part) != other.images(part) {
        return Err(RetrieveError::Different("images in this part of the data"));
    }
    Ok(())
}
