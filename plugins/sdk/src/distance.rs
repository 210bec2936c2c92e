use crate::{Tensor, choices};

choices! {
    /// How two embeddings are compared.
    pub enum Distance {
        /// Euclidean distance of the normalised embeddings, from 0 (equal) to 2.
        Euclidean = "euclidean",
        /// Cosine, from 1 (same direction) to -1.
        Cosine = "cosine",
    }
}

impl Distance {
    /// Compares each row of `embeddings` (B x D, normalised in here) with each: B x B, in the unit of the choice.
    pub fn matrix(self, embeddings: &Tensor) -> Tensor {
        match self {
            Self::Euclidean => {
                let embeddings = embeddings.normalize(2.0, 1);
                embeddings.distance_matrix(&embeddings)
            }
            Self::Cosine => embeddings.cosine_matrix(embeddings),
        }
    }

    /// As [`matrix`](Self::matrix), with the sign of a distance: larger is farther. It is `-cosine` for `Cosine`, so
    /// that differences are those of the cosines.
    pub fn farness(self, embeddings: &Tensor) -> Tensor {
        match self {
            Self::Euclidean => self.matrix(embeddings),
            Self::Cosine => -self.matrix(embeddings),
        }
    }

    /// How much farther than `limit` the elements of `matrix` are: `matrix - limit`, or `limit - matrix` for `Cosine`.
    pub fn beyond(self, matrix: &Tensor, limit: f64) -> Tensor {
        match self {
            Self::Euclidean => matrix - limit,
            Self::Cosine => limit - matrix,
        }
    }

    /// How much nearer than `limit` the elements of `matrix` are: the opposite of [`beyond`](Self::beyond).
    pub fn within(self, matrix: &Tensor, limit: f64) -> Tensor {
        match self {
            Self::Euclidean => limit - matrix,
            Self::Cosine => matrix - limit,
        }
    }
}

/// How similar each row of `embeddings` (B x D, normalised in here) is to each, `exp(-|x_i - x_j|^2 / sigma)`: B x B, from
/// 1 (equal) to 0. `sigma` is above 0.
pub fn gaussian_matrix(embeddings: &Tensor, sigma: f64) -> Tensor {
    // Between unit vectors |x - y|^2 is 2 - 2 cos, and a rounded cosine may be above 1.
    ((embeddings.cosine_matrix(embeddings) - 1.0).at_most(0.0) * (2.0 / sigma)).exp()
}

/// 1 for pairs of two images, 0 on the diagonal: `size` x `size`, float.
pub fn off_diagonal(size: i64) -> Tensor {
    1.0 - Tensor::eye(size)
}
