//! Penalties on the weights of a loss.

use std::ops::RangeBounds;

use crate::bindings::exports::lossmith::plugin::describe;
use crate::{ALL, Parameter, Params, Result, Tensor, choices, keep};

choices! {
    /// The formula of a [`Regularizer`].
    pub enum Penalty {
        /// No penalty.
        None = "none",
        /// The mean p-norm of the weight vectors.
        Lp = "lp",
        /// Weight vectors of one length, Wu et al. 2017 (center invariant loss).
        CenterInvariant = "center-invariant",
        /// The mean cosine of each weight vector with its nearest other one, Zhao, Xu and Cheng 2019.
        RegularFace = "regular-face",
        /// The distances of the centers of a class, Qian et al. 2019 (SoftTriple).
        SparseCenters = "sparse-centers",
    }
}

/// A penalty on weight vectors that is added to a loss: the parameters `regularizer`, `regularizer-weight` and
/// `regularizer-p` of a strategy.
///
/// `regularizer: Regularizer = Regularizer::none();` in [`strategy!`](crate::strategy!) declares all three. Of N weight
/// vectors w, it is `regularizer-weight` times
///
/// - `lp`: the mean of `|w|_p`,
/// - `center-invariant`: the mean of `(|w|^2 - m)^2 / 4`, where m is the mean of `|w|^2`,
/// - `regular-face`: the mean of the largest cosine of w and another one, which takes memory for N x N numbers,
/// - `sparse-centers`: the sum of the Euclidean distances of all two unit vectors of one class, divided by twice their
///   number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regularizer {
    /// The formula.
    pub penalty: Penalty,
    /// What the penalty is multiplied by.
    pub weight: f64,
    /// The order of the norm of `lp`, at least 1.
    pub p: f64,
}

impl Regularizer {
    /// No penalty.
    pub fn none() -> Self {
        Self { penalty: Penalty::None, weight: 1.0, p: 2.0 }
    }

    /// `loss` plus the penalty of `weights`, (C * `centers`) x D: the `centers` vectors of a class stand one after the
    /// other. Error: `sparse-centers` of one center per class.
    pub fn add(&self, loss: Tensor, weights: &Tensor, centers: i64) -> Result<Tensor> {
        let rows = weights.size(0);
        let penalty = match self.penalty {
            Penalty::None => return Ok(loss),
            Penalty::Lp => row_norms(weights, self.p).mean(ALL),
            Penalty::CenterInvariant => uneven_norms(weights),
            // One vector has no other one.
            Penalty::RegularFace if rows < 2 => return Ok(loss),
            Penalty::RegularFace => {
                let cosines = weights.cosine_matrix(weights);
                let itself = Tensor::eye(rows).gt(0.0);
                let nearest = cosines.masked_fill(&itself, f64::NEG_INFINITY).argmax(1);
                cosines.gather(1, &nearest.unsqueeze(1)).mean(ALL)
            }
            Penalty::SparseCenters if centers < 2 => {
                return Err("the regularizer `sparse-centers` needs a loss with several centers per class".into());
            }
            Penalty::SparseCenters => {
                let unit = weights.normalize(2.0, 1).reshape(&[rows / centers, centers, weights.size(1)]);
                // Each distance is in the matrix twice.
                unit.distance_matrix(&unit).sum(ALL) / (2 * rows * (centers - 1)) as f64
            }
        };
        Ok(loss + penalty * self.weight)
    }
}

/// The `p`-norm of each row of a matrix, `p` at least 1. Powers of very large or small numbers stay finite; the
/// gradient of a row of zeros is 0.
pub fn row_norms(rows: &Tensor, p: f64) -> Tensor {
    let scale = rows.detach().abs().amax(keep(1)).at_least(1e-30);
    (rows / &scale).norm(p, 1) * scale.squeeze(1)
}

/// A quarter of the variance of the squared lengths of the rows of a matrix.
pub fn uneven_norms(rows: &Tensor) -> Tensor {
    let squares = rows.square().sum(1);
    (&squares - squares.mean(ALL)).square().mean(ALL) / 4.0
}

impl Parameter for Regularizer {
    type Element = ();

    fn describe(name: &str, summary: &str, default: Self, range: impl RangeBounds<()>) -> Vec<describe::Parameter> {
        let mut all = Penalty::describe(name, summary, default.penalty, range);
        let weight = "What the penalty of the regularizer is multiplied by.";
        all.extend(f64::describe(&format!("{name}-weight"), weight, default.weight, 0.0..));
        let p = "For the regularizer lp: order of the norm.";
        all.extend(f64::describe(&format!("{name}-p"), p, default.p, 1.0..));
        all
    }

    fn read(params: &Params, name: &str) -> Result<Self> {
        Ok(Self {
            penalty: Penalty::read(params, name)?,
            weight: f64::read(params, &format!("{name}-weight"))?,
            p: f64::read(params, &format!("{name}-p"))?,
        })
    }
}
