//! How embeddings are compared.

use std::ops::RangeBounds;

use crate::bindings::exports::lossmith::plugin::describe;
use crate::{Hinge, Parameter, Params, Result, Tensor, choices, keep};

choices! {
    /// The formula of a [`Distance`].
    pub enum Formula {
        /// Euclidean distance; of unit vectors from 0 to 2.
        Euclidean = "euclidean",
        /// Its square; of unit vectors from 0 to 4.
        SquaredEuclidean = "squared-euclidean",
        /// `(sum_i |x_i - y_i|^p)^(1/p)`. Takes memory for B x B x D numbers.
        Lp = "lp",
        /// Cosine, from 1 (same direction) to -1.
        Cosine = "cosine",
        /// Inner product: the cosine of unit vectors.
        Dot = "dot",
        /// Signal-to-noise ratio, Yuan et al. 2019: `var(x - y) / var(x)` over the dimensions, where `x` is the anchor.
        Snr = "snr",
    }
}

/// How two embeddings are compared: the parameters `distance`, `p` and `normalize` of a strategy.
///
/// `distance: Distance = Distance::euclidean();` in [`strategy!`](crate::strategy!) declares all three.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// The formula.
    pub formula: Formula,
    /// The order of `lp`, above 0.
    pub p: f64,
    /// Whether embeddings are divided by their Euclidean norm first.
    pub normalize: bool,
}

impl Distance {
    /// A formula on normalised embeddings.
    pub fn new(formula: Formula) -> Self {
        Self { formula, p: 2.0, normalize: true }
    }

    /// Euclidean distance of normalised embeddings.
    pub fn euclidean() -> Self {
        Self::new(Formula::Euclidean)
    }

    /// Cosine.
    pub fn cosine() -> Self {
        Self::new(Formula::Cosine)
    }

    /// Whether larger means nearer: of `cosine` and `dot`.
    pub fn is_similarity(self) -> bool {
        matches!(self.formula, Formula::Cosine | Formula::Dot)
    }

    /// Compares each row of `embeddings` (B x D) with each: B x B, in the unit of the formula.
    pub fn matrix(self, embeddings: &Tensor) -> Tensor {
        if self.formula == Formula::Cosine {
            return embeddings.cosine_matrix(embeddings);
        }
        let prepared = self.prepared(embeddings);
        let rows = prepared.as_ref().unwrap_or(embeddings);
        self.compared(rows, rows)
    }

    /// Compares each row of `anchors` (B x D) with each of `references` (R x D): B x R, in the unit of the formula.
    pub fn between(self, anchors: &Tensor, references: &Tensor) -> Tensor {
        // One handle for both saves work.
        if std::ptr::eq(anchors, references) {
            return self.matrix(anchors);
        }
        if self.formula == Formula::Cosine {
            return anchors.cosine_matrix(references);
        }
        let (rows, columns) = (self.prepared(anchors), self.prepared(references));
        self.compared(rows.as_ref().unwrap_or(anchors), columns.as_ref().unwrap_or(references))
    }

    /// What is compared, where it is not the embeddings themselves.
    fn prepared(self, embeddings: &Tensor) -> Option<Tensor> {
        let unit = self.normalize.then(|| embeddings.normalize(2.0, 1));
        if self.formula != Formula::Snr {
            return unit;
        }
        // The variance of a difference is the mean square of the difference of rows with mean 0.
        let rows = unit.as_ref().unwrap_or(embeddings);
        Some(rows - rows.mean(keep(1)))
    }

    fn compared(self, rows: &Tensor, columns: &Tensor) -> Tensor {
        match self.formula {
            Formula::Euclidean => rows.distance_matrix(columns),
            Formula::SquaredEuclidean => rows.distance_matrix(columns).square(),
            Formula::Lp => {
                let differences = rows.unsqueeze(1) - columns.unsqueeze(0);
                // The gradient of the p-norm at 0 is not finite for every p; that of the diagonal is 0 by definition.
                let equal = differences.detach().abs().amax(2).eq(0.0);
                let shifted = differences + equal.unsqueeze(2).to_float();
                shifted.norm(self.p, 2).masked_fill(&equal, 0.0)
            }
            Formula::Cosine => rows.cosine_matrix(columns),
            Formula::Dot => rows.matmul(&columns.transpose(0, 1)),
            Formula::Snr => rows.distance_matrix(columns).square() / rows.square().sum(keep(1)).at_least(1e-12),
        }
    }

    /// As [`matrix`](Self::matrix), with the sign of a distance: larger is farther. It is `-cosine` for `cosine`, so
    /// that differences are those of the cosines.
    pub fn farness(self, embeddings: &Tensor) -> Tensor {
        self.signed(self.matrix(embeddings))
    }

    /// What [`matrix`](Self::matrix) or [`between`](Self::between) gave, with the sign of a distance: larger is
    /// farther.
    pub fn signed(self, matrix: Tensor) -> Tensor {
        if self.is_similarity() { -matrix } else { matrix }
    }

    /// How much farther than `limit` two embeddings are, when that is above 0.
    pub fn beyond(self, limit: f64) -> Hinge {
        if self.is_similarity() { Hinge::Below(limit) } else { Hinge::Above(limit) }
    }

    /// How much nearer than `limit` two embeddings are, when that is above 0.
    pub fn within(self, limit: f64) -> Hinge {
        if self.is_similarity() { Hinge::Above(limit) } else { Hinge::Below(limit) }
    }
}

impl Parameter for Distance {
    type Element = ();

    fn describe(name: &str, summary: &str, default: Self, range: impl RangeBounds<()>) -> Vec<describe::Parameter> {
        let mut all = Formula::describe(name, summary, default.formula, range);
        all.extend(f64::describe("p", "Order of the distance lp.", default.p, crate::above(0.0)));
        let about = "Whether embeddings are divided by their norm before they are compared; cosines always are.";
        all.extend(bool::describe("normalize", about, default.normalize, ..));
        all
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(Self {
            formula: Formula::read(params, name)?,
            p: f64::read(params, "p")?,
            normalize: bool::read(params, "normalize")?,
        })
    }
}

/// How similar each row of `embeddings` (B x D, normalised in here) is to each, `exp(-|x_i - x_j|^2 / sigma)`: B x B,
/// from 1 (equal) to 0. `sigma` is above 0.
pub fn gaussian_matrix(embeddings: &Tensor, sigma: f64) -> Tensor {
    // Between unit vectors |x - y|^2 is 2 - 2 cos, and a rounded cosine may be above 1.
    ((embeddings.cosine_matrix(embeddings) - 1.0).at_most(0.0) * (2.0 / sigma)).exp()
}

/// 1 for pairs of two images, 0 on the diagonal: `size` x `size`, float.
pub fn off_diagonal(size: i64) -> Tensor {
    1.0 - Tensor::eye(size)
}
