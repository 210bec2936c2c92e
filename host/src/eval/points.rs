//! Embeddings prepared for distances: in double precision, scaled to length 1 for the cosine.

use tch::{Device, Kind, TchError, Tensor};

use super::{Distance, EvalError};

/// Squared distances are this much too small, in units of the two squared lengths, and then cut off at zero. It is far
/// above the rounding errors of a scalar product in double precision and far below what single precision can tell
/// apart, so equal embeddings are at distance 0 and not at 1e-17.
const SLACK: f64 = 1e-12;

/// A set of points: embeddings in double precision, scaled to length 1 if the distance is the cosine distance.
pub(super) struct Points {
    /// N x D.
    pub(super) rows: Tensor,
    /// The squared length of each row (N), less [`SLACK`].
    squared: Tensor,
}

impl Points {
    /// Takes `embeddings` (N x D, finite).
    pub(super) fn new(embeddings: &Tensor, distance: Distance) -> Result<Self, EvalError> {
        let kind = embeddings.f_kind()?;
        let shape = embeddings.size();
        let (&[total, _], true) =
            (shape.as_slice(), matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16))
        else {
            return Err(EvalError::NotAMatrix { shape, kind });
        };
        let embeddings = embeddings.f_detach()?;
        let finite = embeddings.f_isfinite()?.f_all_dim(1, false)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        if finite < total {
            return Err(EvalError::NotFinite { rows: total - finite, total });
        }
        let mut rows = embeddings.f_to_kind(Kind::Double)?;
        if distance == Distance::Cosine {
            let lengths = rows.f_square()?.f_sum_dim_intlist(1, true, Kind::Double)?.f_sqrt()?;
            rows = rows.f_div(&lengths.f_clamp_min(f64::MIN_POSITIVE)?)?;
        }
        Ok(Self::from_rows(rows)?)
    }

    /// Takes rows (N x D, double) as they are.
    pub(super) fn from_rows(rows: Tensor) -> Result<Self, TchError> {
        let squared = rows.f_square()?.f_sum_dim_intlist(1, false, Kind::Double)?.f_mul_scalar(1.0 - SLACK)?;
        Ok(Self { rows, squared })
    }

    /// The number of points.
    pub(super) fn len(&self) -> i64 {
        self.rows.size().first().copied().unwrap_or(0)
    }

    /// Dimensions of a point.
    pub(super) fn dimensions(&self) -> i64 {
        self.rows.size().get(1).copied().unwrap_or(0)
    }

    /// The device that they are on.
    pub(super) fn device(&self) -> Device {
        self.rows.device()
    }

    /// The points at these positions.
    pub(super) fn select(&self, positions: &[i64]) -> Result<Self, TchError> {
        let positions = Tensor::f_from_slice(positions)?.f_to_device(self.device())?;
        Ok(Self {
            rows: self.rows.f_index_select(0, &positions)?,
            squared: self.squared.f_index_select(0, &positions)?,
        })
    }

    /// `count` rows from row `start` on (count x D), sharing memory.
    pub(super) fn block(&self, start: i64, count: i64) -> Result<Tensor, TchError> {
        self.rows.f_narrow(0, start, count)
    }

    /// For each of `rows` (count x D, double) the squared distances from all of these points, less the row's squared
    /// length (count x N): the order of the distances at the price of one product.
    pub(super) fn scores(&self, rows: &Tensor) -> Result<Tensor, TchError> {
        self.squared.f_unsqueeze(0)?.f_addmm(rows, &self.rows.f_mul_scalar(-2.0)?.f_tr()?)
    }

    /// Squared distances (count x M, double) of `count` points from `start` on to all `others`.
    pub(super) fn squared_distances(&self, start: i64, count: i64, others: &Self) -> Result<Tensor, TchError> {
        let squared = self.squared.f_narrow(0, start, count)?.f_unsqueeze(1)?;
        let mut products = self.block(start, count)?.f_matmul(&others.rows.f_tr()?)?;
        products.f_mul_scalar_(-2.0)?.f_add_(&others.squared)?.f_add_(&squared)?.f_clamp_min_(0.0)
    }
}

/// The starts and lengths of the blocks that `total` rows are cut into.
pub(super) fn blocks(total: i64, block: i64) -> impl Iterator<Item = (i64, i64)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let count = block.min(total - start);
        (count > 0).then(|| {
            let this = (start, count);
            start += count;
            this
        })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn equal_embeddings_are_at_distance_zero() {
        let rows = (Tensor::arange(101 * 100, (Kind::Float, Device::Cpu)) * 0.37).sin().view([101, 100]) * 30.0;
        for distance in [Distance::Cosine, Distance::Euclidean] {
            let points = Points::new(&rows, distance).unwrap();
            let distances = points.squared_distances(0, 101, &points).unwrap();
            assert_eq!(distances.diagonal(0, 0, 1).max().double_value(&[]), 0.0);
            assert_eq!(distances.count_nonzero(None::<i64>).int64_value(&[]), 101 * 100);
        }
    }

    #[test]
    fn blocks_cover_all_rows() {
        assert_eq!(blocks(10, 4).collect::<Vec<_>>(), [(0, 4), (4, 4), (8, 2)]);
        assert_eq!(blocks(0, 4).count(), 0);
    }
}
