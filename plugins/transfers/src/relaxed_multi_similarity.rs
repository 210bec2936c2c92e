//! With `w` and `r` as in `relaxed-contrastive`, the mean over images `i` of
//! `T_i = log(1 + sum_{j != i} w_ij exp(alpha r_ij)) / alpha` and of
//! `log(1 + sum_{j != i} (1 - w_ij) exp(beta (delta - r_ij))) / beta`.
//!
//! This is no sum over pairs. Our reading as pair losses: with the shares
//! `q_ij = w_ij exp(alpha r_ij) / sum_k w_ik exp(alpha r_ik)` and the derivatives `p_ij = dT_i / dr_ij`, both without
//! gradient, `pull_ij = stop(q_ij T_i) + p_ij (r_ij - stop(r_ij))`. A row sums to `T_i`, and each pair carries its own
//! part of the gradient, exactly. `push` likewise.

use lossmith_sdk::prelude::*;
use lossmith_sdk::{gaussian_matrix, off_diagonal};

use crate::relaxed;
use crate::teacher::teacher;

/// In place of a weight of 0, of which there is no logarithm.
const SMALL: f64 = 1e-30;

/// In place of the logarithm of a weight on the diagonal: far below all others.
const NOTHING: f64 = -1e30;

strategy! {
    /// Relaxed multi-similarity loss, Kim, Kim, Cho and Kwak 2021, spread over pairs by our reading. Its parts are
    /// `pull` and `push`.
    pub struct RelaxedMultiSimilarity as "relaxed-multi-similarity" {
        /// Width of the teacher's relation; larger takes more pairs for similar ones.
        sigma: f64 = 1.0, range above(0.0);
        /// Relative distance at which a pair begins to count as close.
        delta: f64 = 1.0, range above(0.0);
        /// Sharpness of the pull.
        alpha: f64 = 1.0, range above(0.0);
        /// Sharpness of the push.
        beta: f64 = 2.0, range above(0.0);
    }
}

impl Transfer for RelaxedMultiSimilarity {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let relations = gaussian_matrix(&teacher(batch)?, self.sigma);
        let relative = relaxed::relative_distances(batch);
        let constant = relative.detach();
        // Exactly 0, with the gradient of the relative distance.
        let gradient = relative - &constant;
        let itself = off_diagonal(batch.size()).eq(0.0);
        let pull = row_terms(&relations, &(&constant * self.alpha), &itself);
        let push = row_terms(&(1.0 - relations), &((self.delta - constant) * self.beta), &itself);
        let pull = pull.shared / self.alpha + pull.derivatives * &gradient;
        let push = push.shared / self.beta - push.derivatives * gradient;
        let losses = PairLosses::new(&(&pull + &push), batch.size() as f64);
        Ok(losses.with_part("pull", &pull).with_part("push", &push))
    }
}

/// `log(1 + sum_j w_j exp(x_j))` of each row, B x B without gradient.
struct RowTerms {
    /// The row's term, shared out among its pairs.
    shared: Tensor,
    /// Its derivatives by the exponents.
    derivatives: Tensor,
}

fn row_terms(weights: &Tensor, exponents: &Tensor, itself: &Tensor) -> RowTerms {
    let logarithms = (weights.at_least(SMALL).log() + exponents).masked_fill(itself, NOTHING);
    let sums = logarithms.logsumexp(keep(1));
    let terms = sums.log1p_exp();
    let derivatives = (&logarithms - &terms).exp();
    RowTerms { shared: (logarithms - sums).exp() * terms, derivatives }
}
