//! The two halves of the pairs.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{gaussian_matrix, off_diagonal};

choices! {
    /// What says how much a pair belongs to the intra half.
    pub enum Split {
        /// The labels: 1 for two images of one class, 0 for two classes.
        Label = "label",
        /// The teacher: `exp(-|t_i - t_j|^2 / sigma)` of its unit embeddings, from 0 to 1. Labels are not needed.
        Teacher = "teacher",
    }
}

impl Split {
    /// How much each pair belongs to the intra half: B x B, from 0 to 1, 0 on the diagonal.
    pub(crate) fn intra(self, pairs: &PairLosses, batch: &Batch, sigma: f64) -> Result<Tensor> {
        match self {
            Self::Label => Ok(pairs.same_class().to_float()),
            Self::Teacher => {
                let teacher = batch.teacher().ok_or(
                    "`split = \"teacher\"` needs a teacher: add a table `[teacher]` to the experiment, or split \
                     by \"label\"",
                )?;
                Ok(gaussian_matrix(&teacher, sigma) * off_diagonal(batch.size()))
            }
        }
    }
}

/// How much each pair belongs to the inter half.
pub(crate) fn inter(intra: &Tensor) -> Tensor {
    off_diagonal(intra.size(0)) - intra
}

/// The loss where a pair that is wholly intra weighs `1 + excess`, with `excess` given for each pair, B x B. Where that
/// is 0, it is the unbalanced loss to the last bit, in value and gradient.
pub(crate) fn weighted(pairs: &PairLosses, excess: &Tensor) -> Tensor {
    (pairs.values() * (excess + 1.0)).sum(ALL) / pairs.divisor()
}
