//! With unit embeddings `t` of the teacher and `f` of the student: `l_ii = |f_i - t_i|`, 0 off the diagonal, divided by
//! B.
//!
//! There are no pairs of two images here: a balance leaves this loss as it is.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// Absolute teacher, Yu et al. 2019: the distance of each image's two embeddings. No balance changes it.
    pub struct AbsoluteTeacher as "absolute-teacher" {}
}

impl Transfer for AbsoluteTeacher {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let teacher = teacher(batch)?;
        let (own, other) = (batch.dimension(), teacher.size(1));
        if own != other {
            return Err(Error(format!(
                "`absolute-teacher` compares the embeddings themselves, and the student's have {own} numbers but the \
                 teacher's {other}: give the student the same dimension, or take `relative-teacher`"
            )));
        }
        let distances = (batch.embeddings().normalize(2.0, 1) - teacher.normalize(2.0, 1)).norm(2.0, 1);
        Ok(PairLosses::new(&distances.diag_embed(), batch.size() as f64))
    }
}
