//! `K_ij = (cos_ij + 1) / 2`, each row divided by its sum, diagonal included, gives the distributions `t` of the
//! teacher and `s` of the student: `l_ij = t_ij log((t_ij + e) / (s_ij + e))` with e = 1e-7, divided by B^2.

use lossmith_sdk::prelude::*;

use crate::teacher::teacher;

/// Keeps the logarithm finite where two embeddings are opposite.
const EPSILON: f64 = 1e-7;

strategy! {
    /// Probabilistic knowledge transfer, Passalis and Tefas 2018. Its parts are `teacher-rows` and `student-rows`.
    pub struct Pkt as "pkt" {}
}

impl Transfer for Pkt {
    fn pair_losses(&self, batch: &Batch, _: &Progress) -> Result<PairLosses<'static>> {
        let (teacher, student) = (rows(&teacher(batch)?), rows(&batch.embeddings()));
        let values = ((&teacher + EPSILON).log() - (&student + EPSILON).log()) * &teacher;
        let size = batch.size() as f64;
        let losses = PairLosses::new(&values, size * size);
        Ok(losses.with_part("teacher-rows", &teacher).with_part("student-rows", &student))
    }
}

/// Rows of similarities that sum to 1. The half of the formula goes out.
fn rows(embeddings: &Tensor) -> Tensor {
    let similarities = embeddings.cosine_matrix(embeddings) + 1.0;
    let sums = similarities.sum(keep(1));
    similarities / sums
}
