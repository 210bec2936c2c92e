//! With the cosines of each image to all of the batch, itself included, `t_i = softmax(cos^t_i / T)` of the teacher and
//! `s_i = softmax(cos^f_i / T)` of the student: `l_ij = T^2 t_ij log(t_ij / s_ij)`, divided by B.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

strategy! {
    /// Divergence of softmaxes of rows of cosines, S2SD, Roth et al. 2021. Its parts are `teacher-rows` and
    /// `student-rows`.
    pub struct RowSoftmax as "row-softmax" {
        /// T, what cosines are divided by; lower is sharper.
        temperature: f64 = 1.0, range above(0.0);
    }
}

impl Transfer for RowSoftmax {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let rows = |embeddings: &Tensor| (embeddings.cosine_matrix(embeddings) / self.temperature).log_softmax(1);
        let (log_teacher, log_student) = (rows(&teacher(batch)?), rows(&batch.embeddings()));
        let teacher = log_teacher.exp();
        let values = (log_teacher - &log_student) * &teacher;
        // The T^2 is in the divisor: the values are those of a divergence.
        let losses = PairLosses::new(&values, batch.size() as f64 / (self.temperature * self.temperature));
        Ok(losses.with_part("teacher-rows", &teacher).with_part("student-rows", &log_student.exp()))
    }
}
