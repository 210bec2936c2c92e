//! With `a_ijk` the cosine of the angle at `i` between `f_j - f_i` and `f_k - f_i`, for the student as it is and for
//! unit embeddings of the teacher: `smooth-L1(a^f_ijk - a^t_ijk)` times the triple's weight, averaged over all B^3
//! triples. Where two of the images are equal, so that there is no angle, the cosine is 0.
//!
//! The weights are those of triples by how many classes they have; with weights of 1 it is the published loss. As the
//! split of a triplet relation it is our reading of BET, Yu 2024.
//!
//! The differences are B x B x D and the angles B x B x B, several of each with their gradients: about 0.5 GiB for
//! B = 180 and D = 512 in 32 bits. From B x B products the cosines could be had too, but where two images are close
//! their digits cancel.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// Angle-wise relational knowledge distillation, Park et al. 2019, eq. 7. Memory for B x B x (B + D) numbers.
    pub struct RkdAngle as "rkd-angle" {
        /// Weight of the triples of one class.
        all_same: f64 = 1.0, range 0.0..;
        /// Weight of the triples of two classes.
        two_same: f64 = 1.0, range 0.0..;
        /// Weight of the triples of three classes.
        all_different: f64 = 1.0, range 0.0..;
    }
}

impl Loss for RkdAngle {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let teacher = angles(&teacher(batch)?.normalize(2.0, 1));
        let losses = angles(&batch.embeddings()).smooth_l1(&teacher, 1.0);
        Ok((losses * self.weights(&batch.labels())).mean(ALL))
    }
}

impl RkdAngle {
    /// The weight of each triple, B x B x B.
    fn weights(&self, labels: &Tensor) -> Tensor {
        let size = labels.size(0);
        let same = labels.unsqueeze(1).eq(&labels.unsqueeze(0)).to_dtype(Dtype::Integer);
        // Of the three pairs of a triple none, one or all are of one class.
        let equal = same.unsqueeze(2) + same.unsqueeze(1) + same.unsqueeze(0);
        let weights = [self.all_different, self.two_same, 0.0, self.all_same];
        let weights = Tensor::from_doubles(&weights, &[4]).index_select(0, &equal.reshape(&[-1]));
        weights.reshape(&[size, size, size])
    }
}

/// The cosines of the angles at `i` between `j` and `k`, B x B x B.
fn angles(embeddings: &Tensor) -> Tensor {
    let differences = embeddings.unsqueeze(0) - embeddings.unsqueeze(1);
    let lengths = differences.norm(2.0, keep(2));
    // Divided by infinity, a difference of 0 has the gradient 0.
    let directions = differences / lengths.masked_fill(&lengths.eq(0.0), f64::INFINITY);
    directions.matmul(&directions.transpose(1, 2))
}
