//! The interface `random`.

use lossmith_sdk::prelude::*;

strategy! {
    /// Draws from every distribution; the numbers become buffers. `uniform` is drawn twice.
    pub struct Draws as "draws" {}
}

impl Loss for Draws {
    fn loss(&self, batch: &Batch, progress: &Progress) -> Result<Tensor> {
        let draws = [
            ("uniform", random::uniform(&[200, 10])),
            ("uniform-again", random::uniform(&[200, 10])),
            ("normal", random::normal(&[200, 10])),
            ("integers", random::integers(&[200, 10], -2, 3)),
            ("permutation", random::permutation(50)),
        ];
        for (name, draw) in &draws {
            // A name of its own for each step, so that a test sees them all.
            state::set_buffer(&format!("{name}/{}", progress.step()), draw);
        }
        Ok(batch.embeddings().square().mean(ALL))
    }
}
