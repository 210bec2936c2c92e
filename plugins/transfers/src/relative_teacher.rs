//! With the Euclidean distances `D` of unit embeddings: `l_ij = (D^f_ij - D^t_ij)^2`, divided by B^2.
//!
//! The paper takes the Frobenius norm of the difference; its square, which is a sum over pairs, is our reading.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// Relative teacher, Yu et al. 2019, with the norm squared: the difference of distances.
    pub struct RelativeTeacher as "relative-teacher" {}
}

impl Transfer for RelativeTeacher {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let distances = |embeddings: &Tensor| Distance::euclidean().matrix(embeddings);
        let difference = distances(&batch.embeddings()) - distances(&teacher(batch)?);
        let size = batch.size() as f64;
        Ok(PairLosses::new(&difference.square(), size * size))
    }
}
