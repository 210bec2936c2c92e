//! `mean (W f_i - t_i)^2` over images and numbers, for the embeddings `f` of the student and `t` of the teacher as they
//! are.
//!
//! The parameter `W`, D' x D, begins uniform between -0.005 and 0.005. The paper compares feature maps in the middle of
//! two networks; to compare embeddings is our reading.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// FitNet, Romero et al. 2015, on embeddings: a learned map of the student's meets the teacher's.
    pub struct FitNet as "fit-net" {
        /// The map learns with the run's learning rate times this.
        learning_rate_multiplier: f64 = 1.0, range 0.0..;
    }
}

impl Loss for FitNet {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let teacher = teacher(batch)?;
        let shape = [teacher.size(1), batch.dimension()];
        let map = state::parameter("W", self.learning_rate_multiplier, || (random::uniform(&shape) - 0.5) * 0.01);
        Ok((batch.embeddings().matmul(&map.transpose(0, 1)) - teacher).square().mean(ALL))
    }
}
