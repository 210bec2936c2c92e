//! A transfer: teacher and student in, the loss of each pair of images out.
//!
//! `batch.embeddings()` are the student's, B x D, through which a gradient flows; `batch.teacher()` are the teacher's,
//! B x D', or none without a teacher. The result is `PairLosses::new(&values, divisor)`: `values` is B x B, and the
//! loss is their sum divided by `divisor`, unless the objective has a balance that weighs them.

use lossmith_sdk::prelude::*;

export! { transfers: [{{struct}}] }

strategy! {
    /// Squared differences of the cosines of teacher and student.
    pub struct {{struct}} as "{{name}}" {
        // Each parameter has a default, one line for users, and a range that the host checks.
        /// What the losses are multiplied by.
        scale: f64 = 1.0, range above(0.0);
    }
}

impl Transfer for {{struct}} {
    fn pair_losses(&self, batch: &Batch, _progress: &Progress) -> Result<PairLosses<'static>> {
        let Some(teacher) = batch.teacher() else {
            // The text is all that the user sees.
            return Err("there is no teacher to learn from: add a table `[teacher]` to the experiment".into());
        };
        let student = batch.embeddings();
        let difference = student.cosine_matrix(&student) - teacher.cosine_matrix(&teacher);
        let size = batch.size() as f64;
        Ok(PairLosses::new(&(difference.square() * self.scale), size * size))
    }
}
