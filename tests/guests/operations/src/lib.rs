//! A plugin of the tests that calls each function of the contract.

mod apply;
mod draws;
mod misuse;
mod programs;
mod reads;
mod spend;
mod told;

use lossmith_sdk::prelude::*;

export! { losses: [Operation, misuse::Misuse, draws::Draws, told::Told, reads::Reads, spend::Spend, programs::Changes] }

strategy! {
    /// Applies one function of the interface `tensor` to the two halves of the embeddings. The results become the
    /// buffers `0`, `1`, ...; the loss is their weighted sum, as far as a gradient flows through them.
    pub struct Operation as "operation" {
        /// The function's name in the contract.
        operation: String = String::new();
    }
}

impl Loss for Operation {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let embeddings = batch.embeddings();
        let half = batch.dimension() / 2;
        let (a, b) = (embeddings.narrow(1, 0, half), embeddings.narrow(1, half, half));
        let results = apply::apply(&self.operation, &a, &b)?;
        let mut loss = (&embeddings * 0.0).sum(ALL);
        for (number, result) in results.iter().enumerate() {
            state::set_buffer(&number.to_string(), result);
            if result.requires_grad() {
                loss = loss + weighted_sum(result);
            }
        }
        Ok(loss)
    }
}

/// The elements with a different weight each, so that the gradient tells them apart.
fn weighted_sum(result: &Tensor) -> Tensor {
    let shape = result.shape();
    let weights = Tensor::linspace(0.5, 1.5, shape.iter().product()).reshape(&shape);
    (result * weights).sum(ALL)
}
