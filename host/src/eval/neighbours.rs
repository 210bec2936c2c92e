//! Nearest neighbours of queries.

use tch::{Kind, TchError, Tensor};

use super::points::Points;
use super::retrieval::ranking_keys;
use super::{Distance, EvalError};

/// An embedding that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its row.
    pub row: usize,
    /// How far it is from the query; with cosines, the Euclidean distance of the vectors scaled to length 1.
    pub distance: f64,
}

/// The `count` nearest of the other rows of `embeddings` (N x D, any float type, finite) for each of some rows, nearest
/// first, in the order in which [`retrieval`](fn@super::retrieval) ranks them; all others if there are fewer. With a
/// `gallery` only its rows are found. A query that is no row finds nothing.
///
/// # Errors
/// Wrong shapes or types, or embeddings that are not finite.
pub fn neighbours(
    embeddings: &Tensor,
    queries: &[usize],
    gallery: Option<&[bool]>,
    count: usize,
    distance: Distance,
) -> Result<Vec<Vec<Neighbour>>, EvalError> {
    let points = Points::new(embeddings, distance)?;
    let positions = Tensor::f_arange(points.len(), (Kind::Int64, points.device()))?;
    let others: Option<Vec<bool>> = gallery.map(|gallery| gallery.iter().map(|inside| !inside).collect());
    let others = others.map(|others| Tensor::f_from_slice(&others)?.f_to_device(points.device())).transpose()?;
    let rows = gallery.map_or(points.len(), |gallery| gallery.iter().filter(|inside| **inside).count() as i64);
    let find = |row: usize| -> Result<Vec<Neighbour>, TchError> {
        let query = i64::try_from(row).unwrap_or(i64::MAX);
        let itself = gallery.is_none_or(|gallery| gallery.get(row).copied().unwrap_or(false));
        let count = i64::try_from(count).unwrap_or(i64::MAX).min(rows - i64::from(itself));
        if query >= points.len() || count < 1 {
            return Ok(Vec::new());
        }
        let mut keys = ranking_keys(&points, query, 1, &points, &positions)?;
        if let Some(others) = &others {
            keys = keys.f_masked_fill(others, i64::MAX)?;
        }
        let _ = keys.f_narrow(1, query, 1)?.f_fill_(i64::MAX)?;
        let (nearest, _) = keys.f_topk(count, 1, false, true)?;
        let found = nearest.f_bitwise_and(i64::from(u32::MAX))?.f_view([-1])?;
        let distances =
            points.squared_distances(query, 1, &points)?.f_view([-1])?.f_index_select(0, &found)?.f_sqrt()?;
        let (rows, distances) = (Vec::<i64>::try_from(&found)?, Vec::<f64>::try_from(&distances)?);
        let pairs = rows.into_iter().zip(distances);
        Ok(pairs.map(|(row, distance)| Neighbour { row: usize::try_from(row).unwrap_or(0), distance }).collect())
    };
    queries.iter().map(|query| Ok(find(*query)?)).collect()
}
