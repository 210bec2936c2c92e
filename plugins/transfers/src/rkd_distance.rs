//! With `psi_ij` the Euclidean distance of images `i` and `j` divided by the mean over all distances that are not 0,
//! for the student `f` as it is and for unit embeddings `t` of the teacher: `l_ij = smooth-L1(psi^f_ij - psi^t_ij)`,
//! divided by B^2.
//!
//! The published loss is once this one and twice the loss `rkd-angle`, each an objective with its weight. The gradient
//! flows through the student's mean.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// Distance-wise relational knowledge distillation, Park et al. 2019, eq. 5.
    pub struct RkdDistance as "rkd-distance" {}
}

impl Transfer for RkdDistance {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let teacher = relative_distances(&teacher(batch)?.normalize(2.0, 1));
        let student = relative_distances(&batch.embeddings());
        let size = batch.size() as f64;
        Ok(PairLosses::new(&student.smooth_l1(&teacher, 1.0), size * size))
    }
}

/// Distances between the rows of `embeddings`, divided by the mean of those that are not 0.
fn relative_distances(embeddings: &Tensor) -> Tensor {
    let distances = embeddings.distance_matrix(embeddings);
    let count = distances.gt(0.0).sum(ALL).to_float().at_least(1.0);
    // All embeddings may be equal.
    let mean = (distances.sum(ALL) / count).at_least(1e-12);
    distances / mean
}
