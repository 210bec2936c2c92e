//! With unit embeddings `t` of the teacher and embeddings `f` of the student, which are not normalised,
//! `w_ij = exp(-|t_i - t_j|^2 / sigma)`, `d_ij = |f_i - f_j|`, `r_ij = d_ij / mean_k d_ik` (the zero `d_ii` counted):
//! `l_ij = w_ij r_ij^2 + (1 - w_ij) [delta - r_ij]_+^2` for `i != j`, divided by B.
//!
//! The gradient flows through the row means, as in the authors' code.

use lossmith_sdk::gaussian_matrix;
use lossmith_sdk::prelude::*;

use crate::relaxed;
use crate::teacher::teacher;

strategy! {
    /// Relaxed contrastive loss, Kim, Kim, Cho and Kwak 2021. Its parts are `pull` and `push`.
    pub struct RelaxedContrastive as "relaxed-contrastive" {
        /// Width of the teacher's relation; larger takes more pairs for similar ones.
        sigma: f64 = 1.0, range above(0.0);
        /// Relative distance beyond which a pair is not pushed.
        delta: f64 = 1.0, range above(0.0);
    }
}

impl Transfer for RelaxedContrastive {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let relations = gaussian_matrix(&teacher(batch)?, self.sigma);
        let relative = relaxed::relative_distances(batch);
        Ok(relaxed::pair_losses(&relations, &relative, self.delta, batch.size() as f64))
    }
}
