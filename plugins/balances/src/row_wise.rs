//! For a transfer of Kullback-Leibler divergences of rows, `l_ij = t_ij log(t_ij / s_ij)`. A row falls into three
//! groups: the image itself, I and E. With the sums `p_G` of t and `q_G` of s over a group, and `KL_G` the divergence
//! of the rows inside the group, each scaled to sum to 1, the chain rule says
//! `sum_j l_ij = KL(p || q) + sum_G p_G KL_G`. The balance weighs the term of the intra half:
//! `(sum_ij l_ij + (alpha - 1) sum_i p_I KL_I) / divisor`.
//!
//! No term is negative, where the sum of `l_ij` over a half alone can be. An alpha of 1 is the unbalanced loss to the
//! last bit. An empty group adds 0. With memberships of the teacher's split, each pair is in both halves by its share
//! and the same rule holds. Our reading of BET, after DKD, Zhao et al. 2022, which splits a row of logits in the same
//! way.
//!
//! `pkt` adds 1e-7 inside its logarithm, so there the rule holds but for that.

use lossmith_sdk::prelude::*;

use crate::split::Split;

/// In place of the sum over an empty group.
const SMALL: f64 = 1e-30;

strategy! {
    /// The divergence inside the intra half weighs alpha; our reading of BET, Yu 2024, after DKD, Zhao et al. 2022.
    pub struct RowWise as "row-wise" {
        /// Weight of the divergence inside the intra half.
        alpha: f64 = 1.0, range 0.0..;
        /// What splits the pairs into halves.
        split: Split = Split::Label;
        /// Width of the teacher's relation, for `split = "teacher"`.
        sigma: f64 = 1.0, range above(0.0);
    }
}

impl Balance for RowWise {
    fn weigh(&self, pairs: &PairLosses, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let (Some(teacher), Some(student)) = (pairs.part("teacher-rows"), pairs.part("student-rows")) else {
            return Err(
                "`row-wise` weighs divergences of rows, with the parts `teacher-rows` and `student-rows`, which this \
                        transfer does not have: take `pkt` or `row-softmax`, or another balance"
                    .into(),
            );
        };
        let intra = self.split.intra(pairs, batch, self.sigma)?;
        let values = pairs.values();
        let group = |rows: Tensor| (rows * &intra).sum(1).at_least(SMALL);
        let (p, q) = (group(teacher), group(student));
        // p_I KL_I: the group's part of the row's sum, without what is owed to the size of the group.
        let inside = (&values * &intra).sum(ALL) - (&p * (p.log() - q.log())).sum(ALL);
        report::metric("weight", self.alpha);
        Ok((values.sum(ALL) + inside * (self.alpha - 1.0)) / pairs.divisor())
    }
}
