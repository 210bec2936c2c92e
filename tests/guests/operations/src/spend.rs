//! Uses a given amount of one thing that is limited.

use std::hint::black_box;

use lossmith_sdk::prelude::*;

strategy! {
    /// Uses up an amount of one thing.
    pub struct Spend as "spend" {
        /// The limit that it goes against.
        limit: String = String::new();
        /// How much it uses, in the limit's unit or in elements.
        amount: i64 = 1;
    }
}

impl Loss for Spend {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let amount = self.amount;
        let zeros = || Tensor::zeros(&[amount], Dtype::Float);
        // What is kept to the end of the call.
        let mut kept = Vec::new();
        match self.limit.as_str() {
            "fuel" => (0..amount).for_each(|step| assert!(black_box(step) >= 0)),
            "memory-bytes" => drop(black_box(vec![1_u8; amount as usize])),
            "host-elements" => drop(zeros()),
            "tensor-bytes" => kept.push(zeros()),
            "handles" => kept.extend((0..amount).map(|_| Tensor::zeros(&[0], Dtype::Float))),
            "rank" => drop(Tensor::zeros(&vec![1; amount as usize], Dtype::Float)),
            "tensor-elements" => drop(zeros()),
            "list-elements" => drop(Tensor::from_doubles(&vec![0.0; amount as usize], &[amount])),
            "log-bytes" => report::info(&"x".repeat(amount as usize)),
            "metrics" => (0..amount).for_each(|number| report::metric(&number.to_string(), 1.0)),
            "state-bytes" => state::set_buffer("zeros", &zeros()),
            unknown => return Err(format!("nothing is spent against `{unknown}`").into()),
        }
        let loss = batch.embeddings().square().mean(ALL);
        drop(kept);
        Ok(loss)
    }
}
